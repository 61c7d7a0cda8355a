"""Programs for work on the checkout."""
