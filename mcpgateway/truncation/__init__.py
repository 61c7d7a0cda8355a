"""Shorten large results, and page through the originals; values in, values out."""
