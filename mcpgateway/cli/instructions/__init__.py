"""Instructions for agents: texts that are put into a user's files and taken out again."""
