"""The management tools, by which a model operates the gateway."""
