"""The frontends: HTTP, the connection of the shim, REST, the manhole; a frontend translates and decides nothing."""
