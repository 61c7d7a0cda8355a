"""What one node has, for clients of all nodes: its jobs, results and sign-ins, and what it counts."""
