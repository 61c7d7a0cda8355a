"""The servers that can be installed by name: the package's own recipes, and the servers of a registry."""
