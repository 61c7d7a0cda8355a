"""A Python prompt inside of the running gateway, for its owner."""
