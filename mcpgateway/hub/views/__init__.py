"""One endpoint for several servers: what a client of a view is told, and where its requests go."""
