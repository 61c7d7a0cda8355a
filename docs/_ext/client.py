"""What the gateway makes of a client's file, worked out by the code that does it, so that the pages cannot lag behind.

``.. client:: NAME`` is the common part of the section of one client: where its file is, what becomes of an entry, and
the commands.  The example is ``clients/files/NAME.*`` beside the page, and the commands are those of ``steps.sh``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from from_code import table
from sphinx.application import Sphinx

from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.client_format import ClientDialect, EntryKind, LocalGateway
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.formats.locations import DARWIN, LINUX, WINDOWS, project_files, user_files
from mcpgateway.clientfiles.formats.rewrite import replace
from mcpgateway.errors import ConfigError

PAGES = Path(__file__).parents[1] / "howto" / "clients"
STEPS = PAGES / "steps.sh"
CUSTOM = "custom"
CUSTOM_FILE = "my-client.json"
PLATFORMS = {LINUX: "Linux", DARWIN: "macOS", WINDOWS: "Windows"}
VARIABLES = {
    "CLAUDE_CONFIG_DIR": "claude-code",
    "CODEX_HOME": "codex",
    "COPILOT_HOME": "copilot",
}
PORT = 9100
STEP = re.compile(r"^# \[([a-z]+)\]\n((?:(?!# \[).*\n)+)", re.MULTILINE)


def example(name: str) -> Path:
    """The file of a client that its page shows."""
    (found,) = PAGES.glob(f"files/{name}.*")
    return found


def adopted(name: str, port: int = PORT, program: str = "mcpgateway") -> str:
    """That file when its programs are reached through the gateway."""
    dialect, path = DIALECTS[name], example(name)
    text = path.read_text()
    listed = dialect.listed(syntax.read(text, path.name, dialect), LocalGateway(port, frozenset()))
    wishes = []
    for each in listed:
        if each.kind is EntryKind.PROGRAM:
            try:
                value = dialect.by_url(each, f"http://localhost:{port}/{each.title}/mcp")
            except ConfigError:  # it takes no URL
                argv = [program, "connect", each.title, "--", *dialect.target_of(each.key_path, each.value)]
                value = dialect.by_command(each, argv)
            wishes.append((each.key_path, value))
    return replace(text, path.name, wishes)[0]


def steps(name: str) -> dict[str, str]:
    """The commands of a page, by what they are for."""
    which = f"--file ~/{CUSTOM_FILE}" if name == CUSTOM else f"--client {name}"
    return {step: line.strip().replace('"$@"', which) for step, line in STEP.findall(STEPS.read_text())}


def places(dialect: ClientDialect) -> list[tuple[str, list[str]]]:
    """Where a client's files are, by platform; platforms that agree are named together."""
    found: dict[tuple[str, ...], list[str]] = {}
    for platform, title in PLATFORMS.items():
        environ = {"APPDATA": "%APPDATA%"} if platform == WINDOWS else {}
        home = "%USERPROFILE%" if platform == WINDOWS else "~"
        files = tuple(
            each.replace("%USERPROFILE%/AppData/Roaming", "%APPDATA%")
            for each in user_files(dialect, platform, environ, home)
        )
        shown = tuple(each.replace("%USERPROFILE%", "~") for each in files)
        found.setdefault(shown, []).append(title)
    every = len(PLATFORMS)
    return [
        ("Everywhere" if len(on) == every else ", ".join(on), list(files))
        for files, on in found.items()
        if files
    ]


class ClientPage(Directive):
    """``.. client:: NAME``, with what is special about the client as its content."""

    required_arguments = 1
    has_content = True

    TITLES: ClassVar = {
        "detect": "See whether it is found, and look at what would become of its file; nothing is changed yet:",
        "apply": "Lead it to the gateway:",
        "look": "The client uses the gateway from its next start on, or from its next look at its file. What the "
        "gateway has adopted, and who uses its servers:",
        "undo": "Give the file back:",
    }

    def run(self) -> list[nodes.Node]:
        """Put the page together."""
        name = self.arguments[0]
        self.state.document.settings.record_dependencies.add(str(example(name)))
        self.state_machine.insert_input(list(self._lines(name)), str(example(name)))
        return []

    def _lines(self, name: str) -> StringList:
        dialect = DIALECTS[name]
        lines: list[str] = ["", ".. rubric:: Its file", ""]
        for platform, files in places(dialect):
            lines.append(f"- {platform}: {', '.join(f'``{each}``' for each in files)}")
        lines += [
            f"- ``{variable}`` names another directory."
            for variable, whose in VARIABLES.items()
            if whose == name
        ]
        own = project_files(dialect, "")
        if own:
            shown = ", ".join(f"``{each.lstrip('/')}``" for each in own)
            lines.append(f"- In a project: {shown}; ``--project DIRECTORY`` names the project.")
        if name == CUSTOM:
            lines.append(f"- Wherever it is: ``--file PATH``. Here it is ``~/{CUSTOM_FILE}``.")
        return StringList([*lines, "", *self._becomes(name), *self._commands(name), *self._special()])

    def _becomes(self, name: str) -> list[str]:
        path = example(name)
        language = {"json": "javascript", "toml": "toml", "yaml": "yaml"}[path.suffix[1:]]
        lines = [".. rubric:: What becomes of an entry", "", "Before:", ""]
        lines += _code(language, path.read_text())
        return [*lines, "Adopted:", "", *_code(language, adopted(name))]

    def _commands(self, name: str) -> list[str]:
        lines = [".. rubric:: The commands", ""]
        for step, commands in steps(name).items():
            lines += [
                self.TITLES[step],
                "",
                *_code("console", "\n".join(f"$ {each}" for each in commands.splitlines())),
            ]
        return lines

    def _special(self) -> list[str]:
        return [".. rubric:: What is special", "", *self.content, ""] if self.content else []


class ClientTable(Directive):
    """``.. clients::`` - every client that is known, where it has its file, and what it makes of an address."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        rows = [self._row(dialect) for dialect in DIALECTS.values() if dialect.user]
        return [table(("Client", "Name", "File on Linux"), (25, 20, 55), rows)]

    def _row(self, dialect: ClientDialect) -> tuple[nodes.Node, ...]:
        file = user_files(dialect, LINUX, {}, "~")[0]
        return nodes.Text(dialect.title), nodes.literal(text=dialect.name), nodes.literal(text=file)


def _code(language: str, text: str) -> list[str]:
    return [f".. code-block:: {language}", "", *(f"   {line}" for line in text.splitlines()), ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known to Sphinx."""
    app.add_directive("client", ClientPage)
    app.add_directive("clients", ClientTable)
    return {"parallel_read_safe": True}
