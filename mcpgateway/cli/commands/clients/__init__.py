"""Commands about clients' files."""
