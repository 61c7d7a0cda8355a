"""The HTTP client that reaches remote servers."""
