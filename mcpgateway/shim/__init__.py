"""Programs that talk to a gateway: the shim that a client starts in a server's place.

Everything here runs under ``python -I -S``, once for each client and server, so it imports builtin modules and a few
small C modules only: no `os`, no `re`, no `typing` at run time.  That keeps it small and quick to start.
"""
