"""Processes of this machine: children, peers, owners of sockets."""
