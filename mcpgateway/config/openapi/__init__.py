"""OpenAPI descriptions as tools of a server."""
