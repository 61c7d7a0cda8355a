"""The processes that sessions belong to: how they are found, watched, and what their end ends."""
