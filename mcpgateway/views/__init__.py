"""The endpoints that give a client all servers at once."""
