"""Floor 1: bytes to messages and back; quiet, no Twisted, no clock."""
