"""Clients' own files: enrolled, kept in step, and restored."""
