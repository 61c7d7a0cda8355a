"""Upgrades of servers, and the approval of changed tools."""
