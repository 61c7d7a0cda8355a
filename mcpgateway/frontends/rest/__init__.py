"""The control plane over HTTP: one module for each group of routes, and their common parts."""
