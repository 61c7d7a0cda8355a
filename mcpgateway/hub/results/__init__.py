"""Results of tools: shortened, and the originals kept."""
