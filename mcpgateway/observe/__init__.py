"""Views of the running gateway for people and programs: figures, logs, traces."""
