"""Text to settings: reading, checking, naming and expanding what the configuration files say."""
