"""The lists of servers: as they are recorded, parsed and refreshed."""
