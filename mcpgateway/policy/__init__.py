"""Floor 2: the decisions, as plain functions of facts; quiet, no Twisted, no clock."""
