"""Live state: what the rules decide is done here."""
