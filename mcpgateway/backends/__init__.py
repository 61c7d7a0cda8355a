"""Floor 4: how a server is reached."""
