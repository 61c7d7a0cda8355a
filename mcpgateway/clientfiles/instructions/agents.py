"""The clients whose agents are instructed: their files for texts, and the forms of their commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from string import Template

from attrs import field, frozen

from mcpgateway.clientfiles.formats.locations import bases
from mcpgateway.clientfiles.instructions.texts import CommandText
from mcpgateway.hints import cli
from mcpgateway.system import paths

PLUGIN = "claude-plugin"
MARK = f"made by mcpgateway; `{cli('instructions uninstall')}` removes it"
FOLLOWING = "(the words after the command)"
ALWAYS = "---\ndescription: MCP servers are shared through mcpgateway\nalwaysApply: true\n---\n\n"
EVERY_FILE = "---\napplyTo: '**'\n---\n\n"


@frozen
class CommandForm:
    """The form of a file with a command.

    :ivar front: its front matter, with ``{name}``, ``{description}`` and ``{hint}``.
    :ivar words: the client's placeholder for the words of the user.
    :ivar needs_front: the file of a server has the front matter, too, and its mark below it, not in its first line.
    """

    front: str
    words: str = "$ARGUMENTS"
    needs_front: bool = False

    def text(self, command: CommandText, *, is_marked: bool = False) -> str:
        """Return the text of the file.

        :param is_marked: it tells that the gateway made it; a user finds the files of servers by that.
        """
        about = {"description": json.dumps(command.description), "hint": json.dumps(command.hint)}
        front = self.front.format(name=command.name, **about)
        has_front = front and (self.needs_front or not is_marked)
        head = f"---\n{front}---\n" if has_front else ""
        return head + (f"<!-- {MARK} -->\n" if is_marked else "") + self._body(command) + "\n"

    def _body(self, command: CommandText) -> str:
        return command.text.strip().replace("{args}", self.words)


class TomlForm(CommandForm):
    """The form of a file with a command in TOML."""

    def text(self, command: CommandText, *, is_marked: bool = False) -> str:
        """Return the text of the file."""
        body = json.dumps(self._body(command), ensure_ascii=False)
        mark = f"# {MARK}\n" if is_marked else ""
        return f"{mark}description = {json.dumps(command.description)}\nprompt = {body}\n"


DESCRIBED = "description: {description}\n"
# The block tells the model all that it needs; so the list of commands, which are for users, costs it nothing.
CLAUDE = CommandForm(DESCRIBED + "argument-hint: {hint}\ndisable-model-invocation: true\n")
MARKDOWN = CommandForm(DESCRIBED)
PROMPT = CommandForm(DESCRIBED, FOLLOWING)
PLAIN = CommandForm("", FOLLOWING)
SKILL = CommandForm("name: {name}\n" + DESCRIBED, FOLLOWING, needs_front=True)
TOML = TomlForm("", "{{args}}")


@frozen
class TextPlaces:
    """The files for texts of one scope, as templates.

    :ivar blocks: the files that may hold the block, in the order in which the client looks for them: it reads the first
        that exists, and the last is made where none does. None where the client reads no such file.
    :ivar commands: the file of a command, with ``{}`` for its name; empty where the client has none.
    :ivar front: the beginning of a new file with the block.
    """

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
        return _path(self.commands, root, environ).replace("{}", name)


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
    form: CommandForm = field(default=PLAIN, repr=False)

    def places(self, root: str) -> TextPlaces:
        """Return the files of a project, or of the user."""
        return self.project if root else self.user


_ALL = (
    InstructedClient(
        "claude-code",
        TextPlaces(("$claude_home/CLAUDE.md",), "$claude_home/commands/{}.md"),
        TextPlaces((".claude/CLAUDE.md", "CLAUDE.md"), ".claude/commands/{}.md"),
        CLAUDE,
    ),
    InstructedClient(
        "codex",
        TextPlaces(("$codex/AGENTS.override.md", "$codex/AGENTS.md"), "$codex/skills/{}/SKILL.md"),
        TextPlaces(("AGENTS.override.md", "AGENTS.md"), ".agents/skills/{}/SKILL.md"),
        SKILL,
    ),
    InstructedClient(
        "vscode",
        TextPlaces(("$code/prompts/mcpgateway.instructions.md",), "$code/prompts/{}.prompt.md", EVERY_FILE),
        TextPlaces(("AGENTS.md",), ".github/prompts/{}.prompt.md"),
        PROMPT,
    ),
    InstructedClient(
        "gemini",
        TextPlaces(("$home/.gemini/GEMINI.md",), "$home/.gemini/commands/{}.toml"),
        TextPlaces(("GEMINI.md",), ".gemini/commands/{}.toml"),
        TOML,
    ),
    InstructedClient(
        "copilot",
        TextPlaces(("$copilot/copilot-instructions.md",), "$copilot/skills/{}/SKILL.md"),
        TextPlaces(("AGENTS.md",), ".agents/skills/{}/SKILL.md"),
        SKILL,
    ),
    InstructedClient(
        "cursor",
        TextPlaces((), "$home/.cursor/commands/{}.md"),  # its rules for all projects are in its settings
        TextPlaces((".cursor/rules/mcpgateway.mdc",), ".cursor/commands/{}.md", ALWAYS),
    ),
    InstructedClient(
        "opencode",
        # A new AGENTS.md would hide a CLAUDE.md.
        TextPlaces(
            ("$config/opencode/AGENTS.md", "$claude_home/CLAUDE.md", "$config/opencode/AGENTS.md"),
            "$config/opencode/commands/{}.md",
        ),
        TextPlaces(("AGENTS.md", "CLAUDE.md", "AGENTS.md"), ".opencode/commands/{}.md"),
        MARKDOWN,
    ),
    InstructedClient("qwen", TextPlaces(("$home/.qwen/QWEN.md",)), TextPlaces(("QWEN.md",))),
    InstructedClient("windsurf", TextPlaces(), TextPlaces((".windsurf/rules/mcpgateway.md",))),
    InstructedClient("cline", TextPlaces(), TextPlaces((".clinerules/mcpgateway.md",))),
    InstructedClient("continue", TextPlaces(), TextPlaces((".continue/rules/mcpgateway.md",), front=ALWAYS)),
)
CLIENTS: Mapping[str, InstructedClient] = {each.name: each for each in _ALL}


def _path(template: str, root: str, environ: Mapping[str, str]) -> str:
    values = bases(sys.platform, environ, paths.user_home(environ))
    editors = [f"{values['apps']}/{each}/User" for each in ("Code", "Code - Insiders", "VSCodium")]
    values["code"] = next((each for each in editors if os.path.isdir(each)), editors[0])
    return os.path.join(root, Template(template).substitute(values))
