"""Subscriptions of clients to changes of servers' lists and resources."""
