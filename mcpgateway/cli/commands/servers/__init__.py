"""Commands about servers and their tools."""
