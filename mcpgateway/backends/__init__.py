"""Floor 4: the transports by which the gateway reaches servers."""
