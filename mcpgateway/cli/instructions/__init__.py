"""Instructions for agents: texts that are inserted into a user's files and removed again."""
