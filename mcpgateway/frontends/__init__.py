"""Floor 6: the ways in; a door translates and decides nothing."""
