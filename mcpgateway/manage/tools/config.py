"""``manage_config`` and ``get_server_config``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from attrs import define, frozen

from mcpgateway.config.document import visible
from mcpgateway.config.edit.change import (
    ENV,
    EXAMPLE,
    Patch,
    added,
    dotted,
    key_path_of,
    risky,
    spelled,
    switched,
    taken,
    touched,
)
from mcpgateway.config.edit.edits import Edit, KeyPath, Rename
from mcpgateway.config.names import RESERVED_BEFORE_MCP
from mcpgateway.discovery.naming import did_you_mean
from mcpgateway.errors import InvalidParams
from mcpgateway.interfaces import Request
from mcpgateway.manage.install_plans import words_of_served
from mcpgateway.manage.tools.checks import (
    BY_HAND,
    check_definition,
    check_name,
    check_secrets,
)
from mcpgateway.manage.tools.install import known_name, removed
from mcpgateway.manage.tools.tool import (
    CWD,
    SCOPE,
    SERVER,
    ChangeTarget,
    Management,
    agreed,
    answer_later,
    names,
    retry_of,
    texts,
    where,
)
from mcpgateway.owntools import arguments
from mcpgateway.owntools.status import seen_by
from mcpgateway.owntools.tool import READ, RUN, Access, argument, define_tool
from mcpgateway.policy.secrets.masking import masked
from mcpgateway.protocol.jsonrpc import Envelope

ACTIONS = {
    "get": "what stands in the entry of `server`, or how the whole configuration stands",
    "enable": "switch `server` on",
    "disable": "switch `server` off",
    "set": "give `key` of `server` a `value`",
    "unset": "take `key` of `server` away",
    "add_env": "set variables: `env` is an object",
    "remove_env": "take variables away: `names` is a list",
    "add_headers": "set headers: `headers` is an object",
    "remove_headers": "take headers away: `names` is a list",
    "rename": "call `server` by `new_name`",
    "remove": "take `server` out",
}
SAME = {
    "remove-env": "remove_env",
    "add-env": "add_env",
    "set_env": "add_env",
    "unset_env": "remove_env",
    "add-headers": "add_headers",
    "remove-headers": "remove_headers",
    "set_header": "add_headers",
    "delete": "remove",
    "uninstall": "remove",
    "show": "get",
}


@define(eq=False, repr=False)
class GetServerConfig:
    """Shows the entry of a server, without any value of a variable or a header."""

    _make: Callable[[], Management]
    name: ClassVar[str] = "get_server_config"
    tier: ClassVar[str] = READ
    definition: ClassVar[bytes] = define_tool(
        "get_server_config",
        "A server's definition. Values of variables and headers are never shown.",
        {"server": SERVER, "cwd": CWD},
        ["server"],
        readOnlyHint=True,
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Answer with the entry."""
        answer_later(request, self._shown(given, access))

    async def _shown(self, given: Envelope, access: Access) -> dict[str, Any]:
        return entry_of(given, access, self._make())


def entry_of(given: Envelope, access: Access, made: Management) -> dict[str, Any]:
    """Return the entry of the server that a call names, without secrets.

    :raise InvalidParams: no such server exists.
    """
    cwd = arguments.text(given, "cwd")
    root = made.plans.workspaces.root_of(cwd) if cwd else ""
    name = arguments.needed(given, "server", "list_servers says which there are")
    own = next((each for each in access.specs() if each.name == name), None)
    root = root or (own.workspace if own is not None else "")
    found = made.plans.definition_of(name, root) if root else None
    spec = next((each for each in seen_by(access) if each.name == name), None)
    if found is None:
        known_name(given, access)
        found = made.plans.definition_of(name)
    shown: dict[str, Any] = {"server": name}
    if spec is not None:
        shown |= {"source": spec.source, "enabled": spec.enabled, "share": spec.share.value}
    return {**shown, "config": without_values(found)}


def without_values(definition: Any) -> Any:
    """Return a definition with masks for the values of variables and headers that are no references."""
    return masked(dict(definition)) if isinstance(definition, Mapping) else None


@frozen
class _Change:
    """The outcome of an action.

    :ivar edits: the edits of the file, made at once.
    :ivar words: the question to the user, with line breaks of the gateway's only; empty for none.
    """

    edits: tuple[Edit, ...]
    words: str = ""


@define(eq=False, repr=False)
class ManageConfig:
    """Shows the configuration, and changes the entries of servers."""

    _make: Callable[[], Management]
    name: ClassVar[str] = "manage_config"
    tier: ClassVar[str] = RUN
    definition: ClassVar[bytes] = define_tool(
        "manage_config",
        "Show or change the configuration. Actions: "
        + "; ".join(f"{name}: {what}" for name, what in ACTIONS.items())
        + ". What changes what a server runs or is given needs the user's yes.",
        {
            "action": argument("What to do", enum=list(ACTIONS)),
            "server": SERVER,
            "scope": SCOPE,
            "cwd": CWD,
            "key": argument("Such as lazy.enabled"),
            "value": {"description": "Of the key"},
            "env": argument("Variables for add_env", "object"),
            "headers": argument("Headers for add_headers", "object"),
            "names": argument("What remove_env or remove_headers removes", "array", items={"type": "string"}),
            "new_name": argument("For rename"),
        },
        ["action"],
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Answer with the configuration, or the change."""
        answer_later(request, self._done(request, given, access))

    async def _done(self, request: Request, given: Envelope, access: Access) -> dict[str, Any]:
        made = self._make()
        action = _action(given)
        if action == "get":
            return entry_of(given, access, made) if arguments.text(given, "server") else _whole(made, access)
        place = where(given, made.plans.workspaces)
        if action == "remove":
            return {
                "changed": True,
                "action": action,
                **await removed(self.name, request, given, access, made),
            }
        name = known_name(given, access, place)
        entry = made.plans.definition_of(name, place.root)
        change = _change(action, name, entry if isinstance(entry, Mapping) else {}, given, request, made)
        words = change.words
        if words and action not in ("enable", "disable"):
            added = dict.fromkeys(_key_path(given)[:1], True) if action == "set" else {}
            made.installing.check_may_run(
                access.principal, {**(entry if isinstance(entry, Mapping) else {}), **added}
            )
        if change.edits:
            served = made.plans.foresee(name, change.edits, place.root)  # checked before the user is asked
            if action == "rename" and served:
                renamed = visible(arguments.text(given, "new_name"))
                words = f"Call the server {visible(name)} {renamed}?\n{words_of_served(served)}"
        if words:
            await agreed(request, access, _question(words, place), retry_of(self.name, given))
        file = made.installing.change(change.edits, place.root) if change.edits else ""
        return {
            "changed": bool(file),
            "action": action,
            "server": name,
            "scope": str(place),
            **({"file": file} if file else {"hint": "it was so already"}),
        }


def _action(given: Envelope) -> str:
    found = arguments.needed(given, "action", f"one of {', '.join(ACTIONS)}").lower()
    found = SAME.get(found, found)
    if found in ACTIONS:
        return found
    if found in ("add", "install", "create"):
        raise InvalidParams("servers are added by another tool", "call install_server")
    near = did_you_mean(found, list(ACTIONS), 1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise InvalidParams(f"there is no action '{found[:40]}'", f"{meant}There are: {', '.join(ACTIONS)}")


def _whole(made: Management, access: Access) -> dict[str, Any]:
    config = made.sight.config()
    return {
        "files": list(config.get("files") or ()),
        "home": made.plans.home,
        "problems": list(config.get("problems") or ()),
        "restart_needed": list(config.get("restart_needed") or ()),
        "servers": [
            {"name": each.name, "enabled": each.enabled, "source": each.source} for each in seen_by(access)
        ],
        "hint": "settings of the gateway itself are changed in its file, which counts at once; docs says which",
    }


def _question(words: str, place: ChangeTarget) -> str:
    whose = f"the clients that work in {place.root}" if place.root else "all clients of this gateway"
    return "\n".join((words, visible(f"It would count for {whose}.")))


def _change(
    action: str, name: str, entry: Mapping[str, Any], given: Envelope, request: Request, made: Management
) -> _Change:
    match action:
        case "enable" | "disable":
            return _switched(name, entry, on=action == "enable")
        case "set":
            return _set(name, entry, given, request)
        case "unset":
            return _unset(name, entry, given)
        case "add_env" | "add_headers":
            return _added(name, entry, given, request, "env" if action == "add_env" else "headers")
        case "remove_env" | "remove_headers":
            return _taken(name, entry, names(given, "names"), "env" if action == "remove_env" else "headers")
        case "rename":
            new = arguments.needed(given, "new_name", "the name that it is to have")
            check_name(new)
            if any(each.name == new for each in made.sight.servers()) or new in RESERVED_BEFORE_MCP:
                raise InvalidParams(f"there is a server {new} already", "pass another name")
            return _Change((Rename((name,), new),))
    raise AssertionError(action)


def _switched(name: str, entry: Mapping[str, Any], *, on: bool) -> _Change:
    edits = switched(name, entry, on=on)
    return _Change(edits, f"Switch the server {visible(name)} on, so that it runs?" if on and edits else "")


def _set(name: str, entry: Mapping[str, Any], given: Envelope, request: Request) -> _Change:
    key_path = _key_path(given)
    if "value" not in given:
        raise InvalidParams('"value" is missing', "unset takes a key away")
    value = arguments.value(given, "value")
    edits = Patch(values={key_path: value}).edits(name, entry)
    check_definition(touched(name, entry, edits), may_hold_secrets=request.is_admin)
    words = ""
    if edits and risky(key_path[:1]):
        words = f"Set {visible(dotted(key_path))} of the server {visible(name)} to this?\n{visible(_value_text(value))}"
    return _Change(edits, words)


def _unset(name: str, entry: Mapping[str, Any], given: Envelope) -> _Change:
    key_path = _key_path(given)
    edits = Patch(unset=(key_path,)).edits(name, entry)
    is_risky = edits and risky(key_path[:1])
    words = f"Take {visible(dotted(key_path))} of the server {visible(name)} away?" if is_risky else ""
    return _Change(edits, words)


def _key_path(given: Envelope) -> KeyPath:
    key_path = key_path_of(arguments.needed(given, "key", EXAMPLE))
    if key_path[0] in BY_HAND:
        raise InvalidParams(f"{key_path[0]} can only be set by hand", "write it into the configuration file")
    return key_path


def _added(name: str, entry: Mapping[str, Any], given: Envelope, request: Request, key: str) -> _Change:
    values = texts(given, key)
    if not values:
        raise InvalidParams(f'"{key}" is missing', f'such as {{"{key}": {{"NAME": "value"}}}}')
    if not request.is_admin:
        check_secrets(values)
    lines = "\n".join(f"{visible(each)}: {visible(value)}" for each, value in values.items())
    what = "variables" if key == ENV else "headers"
    edits = added(name, entry, key, values)
    return _Change(edits, f"Give the server {visible(name)} these {what}?\n{lines}" if edits else "")


def _taken(name: str, entry: Mapping[str, Any], gone: list[str], key: str) -> _Change:
    edits = taken(name, entry, key, gone)
    key = spelled(entry, key)
    away = ", ".join(map(visible, gone))
    words = f"Take {away} away from the server {visible(name)} ({key})?" if edits else ""
    return _Change(edits, words)


def _value_text(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
