"""OAuth 2.1 rules: the gateway as a client, and as a resource."""
