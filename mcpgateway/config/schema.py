"""All keys of a configuration file: values, defaults and documentation.

Reading, checking, the published JSON Schema and the reference are all made from these tables.
"""

from __future__ import annotations

from typing import Any

from mcpgateway.config.document import Place
from mcpgateway.config.entry import SERVER
from mcpgateway.config.fields import (
    FILLED,
    Anything,
    Choice,
    Either,
    ListOf,
    MapOf,
    Text,
    Texts,
    VariableMap,
    WholeNumber,
)
from mcpgateway.config.gateway_settings import CLIENTS, COMPAT, ENV_POLICY, GATEWAY, MANHOLE, SECRETS
from mcpgateway.config.model import Dialect
from mcpgateway.config.problems import Problems
from mcpgateway.config.section import Counts, Key, Section, same
from mcpgateway.config.security import SETTINGS
from mcpgateway.config.surface import GIB
from mcpgateway.records import FrozenRecord


class ServerList(FrozenRecord, frozen=True):
    """Servers: a mapping by name, or a list of servers that each have a name."""

    words: str = "a mapping of names to servers, or a list of servers"

    def read(self, place: Place, problems: Problems) -> Place:
        """Return the place; its members are read once no other file replaces them."""
        if not isinstance(place.value, dict | list):
            raise place.wrong_secret(self.words)
        return place

    def json(self) -> dict[str, Any]:
        """Return the JSON Schema of both forms."""
        server = {"$ref": "#/$defs/server"}
        mapped = {"type": "object", "patternProperties": {"^_": {}}, "additionalProperties": server}
        return {"anyOf": [mapped, {"type": "array", "items": server}]}


TAGS = Section(
    "Capabilities",
    [Key("include", Texts(), "Servers it has."), Key("exclude", Texts(), "Servers it has not.")],
)

PROFILE = Section(
    "A profile",
    [
        Key("capabilities", Either({list: Texts(), dict: TAGS}), "Tags.", []),
        Key("servers", ServerList(), "Servers, as at the top."),
        Key("include", Texts(), "Names of further servers that ``/mcp/p/PROFILE`` shows.", []),
        Key(
            "tools_off",
            Texts(),
            "Tools that ``/mcp/p/PROFILE`` neither lists nor calls, such as ``clear_*`` or ``notes__clear``.",
            [],
        ),
        Key(
            "tier",
            Choice.of("read", "write", "destructive"),
            "The highest tier of tools that ``/mcp/p/PROFILE`` lists and calls, by annotations. ``read``: those that "
            "change nothing. ``write``: also those that destroy nothing.",
            "destructive",
        ),
        Key(
            "budget",
            WholeNumber(0, GIB),
            "Tokens of tools' results that ``/mcp/p/PROFILE`` gives one session, estimated; 0: any number. After "
            "four fifths it warns; larger results are cut to what is left, and ``gateway_get_result`` shows the rest.",
            0,
        ),
        Key("env", VariableMap(), "Values for the variables of servers.", {}, counts=Counts.NEW_PROCESS),
        Key("description", Text(), "A note.", counts=Counts.NEVER),
    ],
)

WORKSPACE = Section(
    "A workspace",
    [
        Key("path", FILLED, "Its root, an absolute directory."),
        Key("profiles", Texts(), "Its profiles; where two give a value, the later one counts.", []),
        Key("description", Text(), "A note.", counts=Counts.NEVER),
    ],
)

PROJECT = Section(
    "A project",
    [
        *WORKSPACE.keys.values(),
        Key("servers", ServerList(), "Servers, as at the top."),
        Key("env", VariableMap(), "Values.", counts=Counts.NEW_PROCESS),
    ],
)

LISTED_PROJECT = Section(
    "A project of a list",
    [*PROJECT.keys.values(), Key("name", FILLED, "Its name; its directory's without one.")],
)

TOP = Section(
    "A file",
    [
        Key(
            "include",
            Texts(),
            "Further files that are read before this one; ``*`` and ``?`` stand for any names.",
        ),
        Key(
            "dialect",
            Choice.of(*(each.value for each in Dialect)),
            "Whose form the file has, where the place of its servers does not say it.",
            counts=Counts.NEW_PROCESS,
        ),
        Key("gateway", GATEWAY, "The gateway itself."),
        Key("servers", ServerList(), "The servers."),
        same("mcpServers", ServerList(), "servers"),
        same("daemons", ServerList(), "servers"),
        same("mcp", ServerList(), "servers"),
        Key("profiles", MapOf(PROFILE), "Bundles of servers and values.", {}),
        Key("workspaces", MapOf(WORKSPACE), "Directories and their profiles.", {}),
        Key(
            "projects",
            Either(
                {
                    dict: MapOf(Either({str: FILLED, dict: PROJECT})),
                    list: ListOf(Either({str: FILLED, dict: LISTED_PROJECT})),
                },
                "a mapping of names to projects, or a list of names, directories or projects",
            ),
            "The same as ``workspaces``, as older files have it; a name alone has no directory.",
        ),
        ENV_POLICY,
        Key("settings", SETTINGS, "Who may call."),
        Key("secrets", SECRETS, "Where secrets may come from."),
        Key("manhole", MANHOLE, "A Python prompt inside of the running gateway."),
        Key("clients", CLIENTS, "Clients' own files."),
        Key("compat", COMPAT, "What older gateways did otherwise."),
        Key("version", Anything(), "A note.", counts=Counts.NEVER),
        Key("inputs", Anything(), "A setting of other clients; it is passed over.", counts=Counts.NEVER),
    ],
)


JSON_SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the schema of a configuration file.

    A file that is nothing but servers, without a level above them, is read as well; no schema can tell such
    names from slips, so this one leaves that shape out.
    """
    return {
        "$schema": JSON_SCHEMA_DIALECT,
        "title": "mcpgateway configuration",
        **TOP.json(),
        "$defs": {"server": SERVER.json()},
    }
