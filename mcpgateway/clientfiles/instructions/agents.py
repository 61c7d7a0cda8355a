"""The clients whose agents are instructed: their files for texts, and the forms of their commands."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from string import Template

from attrs import frozen

from mcpgateway.clientfiles.formats.locations import bases
from mcpgateway.clientfiles.instructions.texts import DIRECTORY, CommandText
from mcpgateway.errors import ConfigError
from mcpgateway.hints import cli
from mcpgateway.system import paths
from mcpgateway.system.files import read_text

CLAUDE, PLUGIN = "claude-code", "claude-plugin"
MARK = f"made by mcpgateway; `{cli('instructions uninstall')}` removes it"
SETTINGS_LIMIT = 4 * 1_048_576
EDITORS = ("Code", "Code - Insiders", "VSCodium")


@frozen
class CommandForm:
    """The form of a file with a command; ``clients.toml`` says what its fields are."""

    words: str
    front: str = ""
    needs_front: bool = False
    is_toml: bool = False

    def text(self, command: CommandText, *, is_of_server: bool = False) -> str:
        """Return the text of the file, with a mark by which its user knows where it is from.

        :param is_of_server: the mark is in the first line, unless the client needs the front matter.
        """
        body, description = (
            command.text.strip().replace("{args}", self.words),
            json.dumps(command.description),
        )
        if self.is_toml:
            prompt = json.dumps(body, ensure_ascii=False).replace("\x7f", "\\u007f")
            return f"# {MARK}\ndescription = {description}\nprompt = {prompt}\n"
        about = {"name": command.name, "description": description, "hint": json.dumps(command.hint)}
        has_front = self.front and (self.needs_front or not is_of_server)
        head = f"---\n{self.front.format(**about)}---\n" if has_front else ""
        return f"{head}<!-- {MARK} -->\n{body}\n"


@frozen
class TextPlaces:
    """The files for texts of one scope, as templates; ``clients.toml`` says what its fields are."""

    blocks: tuple[str, ...] = ()
    commands: str = ""
    front: str = ""

    def block(self, root: str, environ: Mapping[str, str]) -> str:
        """Return the path of the file for the block; empty for none.

        :param root: the directory of the project; empty for the files of the user.
        """
        found = [_path(each, root, environ) for each in self.blocks]
        return next((each for each in found if os.path.lexists(each)), found[-1] if found else "")

    def command(self, name: str, root: str, environ: Mapping[str, str]) -> str:
        """Return the path of the file of a command."""
        return _path(self.commands.replace("{}", name), root, environ)


@frozen
class InstructedClient:
    """A client whose agents are instructed.

    :ivar name: its name, as in `mcpgateway.clientfiles.formats.clients`.
    :ivar user: the files of a user.
    :ivar project: those of a project, relative to it.
    """

    name: str
    user: TextPlaces
    project: TextPlaces
    form: CommandForm

    def places(self, root: str) -> TextPlaces:
        """Return the files of a project, or of the user."""
        return self.project if root else self.user


@cache
def clients() -> Mapping[str, InstructedClient]:
    """Return the clients by their names."""
    found = tomllib.loads((DIRECTORY / "clients.toml").read_text("utf-8"))
    forms = {name: CommandForm(**each) for name, each in found["forms"].items()}
    return {
        name: InstructedClient(
            name, _places(each, "user"), _places(each, "project"), forms[each.get("form", "plain")]
        )
        for name, each in found["clients"].items()
    }


def _places(client: Mapping[str, Mapping[str, str]], scope: str) -> TextPlaces:
    its = client.get(scope, {})
    return TextPlaces(tuple(its.get("blocks", ())), its.get("commands", ""), its.get("front", ""))


def has_plugin(environ: Mapping[str, str]) -> bool:
    """True if the gateway's plugin is in use in Claude Code."""
    path = _path("$claude_home/settings.json", "", environ)
    with suppress(OSError, ConfigError, ValueError, AttributeError):
        enabled = json.loads(read_text(path, SETTINGS_LIMIT)).get("enabledPlugins", {})
        return enabled.get("mcpgateway@mcpgateway") is True
    return False


def _path(template: str, root: str, environ: Mapping[str, str]) -> str:
    values = bases(sys.platform, environ, paths.user_home(environ))
    editors = [f"{values['apps']}/{each}/User" for each in EDITORS]
    values["code"] = next((each for each in editors if os.path.isdir(each)), editors[0])
    return os.path.join(root, Template(template).substitute(values))
