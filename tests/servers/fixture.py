"""Runs the MCP server of `fixture_server`: Python keeps compiled modules, and would compile a script at each start."""

import sys

sys.path.insert(0, __file__.rpartition("/")[0])

import fixture_server

fixture_server.main()
