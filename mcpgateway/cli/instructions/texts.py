"""The instructions for agents, and the file of each client for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

DIRECTORY = Path(__file__).parent


@frozen
class InstructionsFile:
    """A client, and its file of instructions.

    :ivar title: its name for people.
    :ivar file: its file, relative to a project.
    :ivar front: beginning of a file of the gateway's own.
    """

    title: str
    file: str
    front: str = ""


ALWAYS = "---\ndescription: MCP servers are shared through mcpgateway\nalwaysApply: true\n---\n\n"
READERS: Mapping[str, InstructionsFile] = {
    "claude": InstructionsFile("Claude Code", "CLAUDE.md"),
    "agents": InstructionsFile(
        "agents that read AGENTS.md (Codex, opencode, Copilot, pi and others)", "AGENTS.md"
    ),
    "cursor": InstructionsFile("Cursor", ".cursor/rules/mcpgateway.mdc", ALWAYS),
    "copilot": InstructionsFile("Copilot in VS Code", ".github/copilot-instructions.md"),
    "gemini": InstructionsFile("Gemini CLI", "GEMINI.md"),
    "qwen": InstructionsFile("Qwen Code", "QWEN.md"),
    "windsurf": InstructionsFile("Windsurf", ".windsurf/rules/mcpgateway.md"),
    "cline": InstructionsFile("Cline", ".clinerules/mcpgateway.md"),
    "continue": InstructionsFile("Continue", ".continue/rules/mcpgateway.md", ALWAYS),
}


def instructions(port: int) -> str:
    """Return the instructions for agents."""
    return (DIRECTORY / "agents.md").read_text("utf-8").replace("{port}", str(port))


def setup() -> str:
    """Return the text for an agent that is to set up the gateway."""
    return (DIRECTORY / "setup.md").read_text("utf-8")
