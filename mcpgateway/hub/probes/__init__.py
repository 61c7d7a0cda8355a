"""Facts about a server that its entry leaves open: its era, its sharing, its tools."""
