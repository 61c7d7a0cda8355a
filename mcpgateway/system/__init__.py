"""The machine: its files, paths and processes; blocking calls are made here, and their docstrings say so."""
