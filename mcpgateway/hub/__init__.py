"""Floor 5: the live state between doors and backends; performs what the rules decide."""
