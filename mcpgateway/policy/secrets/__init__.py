"""Secrets in texts, values and settings: their shapes, and outputs without them."""
