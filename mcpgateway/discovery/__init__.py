"""Tools, prompts and resources of all servers: lists, names and search; text and decisions only."""
