"""Subscriptions of clients to what servers change."""
