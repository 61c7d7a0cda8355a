"""Edits of configuration files' text, which leave everything else in it as it is."""
