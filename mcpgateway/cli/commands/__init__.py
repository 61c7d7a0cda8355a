"""The commands, a module for each noun; each is loaded when it is first named."""
