"""What may be wrong on this machine, looked for a little at a time: a module for each group of checks."""
