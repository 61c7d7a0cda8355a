"""Commands that run the gateway, and show how it is."""
