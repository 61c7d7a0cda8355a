"""AI clients' own configuration files: what they list, and how their entries give way to the gateway and come back."""
