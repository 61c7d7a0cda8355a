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

extensions = [
    "sphinx_copybutton",
    "sphinx_design",
    "accessible",
    "client",
    "contracts",
    "drawing",
    "from_code",
    "machine",
    "moved",
    "pages",
]
exclude_patterns = ["_build", "newsfragments"]
nitpicky = True

# The copy button takes the commands of a session, without prompts and without output.
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"

# Everything that a page needs is beside it: no font, script or style comes from another host.
# The usual theme writes the titles of all pages on each page, half of the work: the tag `plain` leaves that out.
IS_PLAIN = tags.has("plain")  # noqa: F821 - of Sphinx
html_theme = "basic" if IS_PLAIN else "furo"
html_title = "mcpgateway"
html_static_path = ["_static"]
html_css_files = ["site.css"]
colours = {
    "light_css_variables": {"color-brand-primary": "#0b5fa5", "color-brand-content": "#0b5fa5"},
    "dark_css_variables": {"color-brand-primary": "#7cc0ff", "color-brand-content": "#7cc0ff"},
}
html_theme_options = {} if IS_PLAIN else colours
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
