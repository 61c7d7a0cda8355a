"""Package runners: the programs behind them, and what is remembered of these."""
