"""How Sphinx builds these pages."""

import gc
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from mcpgateway import __version__

# Every page lives until the end: to look through all of them for garbage takes a quarter of the build.
gc.disable()

project = "mcpgateway"
author = "the mcpgateway authors"
project_copyright = "2026, the mcpgateway authors"
version = release = __version__

extensions = ["client", "contracts", "from_code", "machine"]
exclude_patterns = ["_build", "newsfragments"]
nitpicky = True

html_theme = "alabaster"
html_theme_options = {"description": "One set of MCP servers for many clients", "fixed_sidebar": True}
html_show_copyright = False
html_show_sphinx = False
