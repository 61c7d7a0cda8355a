"""Limits of calls and of starts."""
