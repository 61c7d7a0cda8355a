"""The commands that work on this machine's files and programs, without a gateway."""
