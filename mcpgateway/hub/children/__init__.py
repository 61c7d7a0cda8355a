"""The child of one server: the queue before it, its start, its messages, and the former children that remain."""
