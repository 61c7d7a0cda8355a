"""What the nodes of a cluster share by its documents: tokens, configuration files, grants and dashboards."""
