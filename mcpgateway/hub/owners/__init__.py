"""The client processes that sessions belong to: how they are found and watched, and what their exit ends."""
