"""The life of one server's child: what waits for it, its start, what it says, and what is left of it."""
