"""Commands about the configuration, tokens and passwords."""
