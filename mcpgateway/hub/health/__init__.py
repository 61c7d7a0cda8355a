"""The health of servers: observed, recorded, and acted on."""
