"""Authorization at remote servers (OAuth 2.1)."""
