"""This machine: its files, paths and processes. What blocks, blocks here, and says so."""
