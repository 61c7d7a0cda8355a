"""What tools, prompts and resources there are, under which names, and how they are found; text and decisions only."""
