"""What agents are told about the gateway, as texts that are put into a user's own files and taken out again."""
