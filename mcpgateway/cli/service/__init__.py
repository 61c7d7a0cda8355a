"""The gateway as a service of its user: systemd and launchd."""
