"""The views: endpoints for several servers at once."""
