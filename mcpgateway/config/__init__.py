"""Configuration files to settings: reading, checking, naming, expanding, and editing them."""
