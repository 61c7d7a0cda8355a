"""The texts for agents, each for the kind of endpoint that the agent's client uses."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

from attrs import frozen

DIRECTORY = Path(__file__).parent
SERVERS = "servers"
"""The kind of endpoints for single servers, which have none of the gateway's own tools."""
VIEW = "view"
# The texts of a kind of endpoint, the first that there is: `gateway.expose` names the kinds for all servers.
KINDS: Mapping[str, tuple[str, ...]] = {
    "search": ("search", VIEW, SERVERS),
    "hybrid": ("search", VIEW, SERVERS),
    "full": ("full", VIEW, SERVERS),
    "meta": ("meta", VIEW, SERVERS),
    SERVERS: (SERVERS,),
}


@frozen
class CommandText:
    """A command for a user to give to an agent.

    :ivar hint: the words that may follow it.
    :ivar text: what the agent gets; ``{args}`` stands for these words.
    """

    name: str
    description: str
    hint: str
    text: str


def instructions(port: int, kinds: Collection[str]) -> str:
    """Return the instructions for agents.

    :param kinds: the kinds of endpoints that the clients of the file use; see `KINDS`.
    """
    block = _texts()["block"]
    tools = dict.fromkeys(_of_kind(block["tools"], each) for each in sorted(kinds, key=list(KINDS).index))
    page = dict.fromkeys(_of_kind(block["page"], each) for each in kinds)
    return (
        "".join((block["head"], "\n", *tools, *page, block["tail"])).strip().replace("{port}", str(port))
        + "\n"
    )


def commands(kind: str) -> Iterator[CommandText]:
    """Iterate over the commands for an agent whose client uses a kind of endpoint; see `KINDS`."""
    for name, each in _texts()["commands"].items():
        text = _of_kind(each["text"], kind)
        if text:
            yield CommandText(name, each["description"], each["hint"], text)


def server_command(name: str, url: str, template: str = "") -> CommandText:
    """Return the command for one server.

    :param template: the text with ``${server_name}``, ``${server_url}`` and ``$ARGUMENTS``; empty for the usual one.
    """
    usual = _texts()["server"]
    values = {"server_name": name, "server_url": url, "ARGUMENTS": "{args}"}
    text, description = (
        Template(each).safe_substitute(values) for each in (template or usual["text"], usual["description"])
    )
    return CommandText(f"use-{name}", description, "WORDS", text)


def setup() -> str:
    """Return the text for an agent that is to set up the gateway."""
    return (DIRECTORY / "setup.md").read_text("utf-8")


def _of_kind(texts: Mapping[str, str], kind: str) -> str:
    return next((texts[each] for each in KINDS[kind] if each in texts), "")


@cache
def _texts() -> Mapping[str, Any]:
    return tomllib.loads((DIRECTORY / "texts.toml").read_text("utf-8"))
