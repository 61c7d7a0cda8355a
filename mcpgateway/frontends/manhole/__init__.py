"""A Python prompt inside the running gateway, for its owner."""
