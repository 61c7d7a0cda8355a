"""Log files: of the gateway, and of each server."""
