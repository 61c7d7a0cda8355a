"""A benchmark: the gateway beside other gateways and beside what Twisted alone costs. It decides no test run."""
