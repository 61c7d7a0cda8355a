"""Credentials from a password manager: read, listed, and handed to servers."""
