"""The wiring: settings in, a running gateway out."""
