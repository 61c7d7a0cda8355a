"""Configurations of the load balancers before the nodes of a cluster."""
