"""One node of a cluster of gateways, which agree through a PostgreSQL database."""
