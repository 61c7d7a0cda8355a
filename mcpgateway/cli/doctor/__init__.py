"""Checks of this machine, a module for each group of them."""
