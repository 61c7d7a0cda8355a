"""The views, as their clients see them, and changes of the profiles that some of them show."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from attrs import field, frozen
from msgspec import Raw

from mcpgateway.config.document import Place, printable
from mcpgateway.config.edit.conditions import EditCondition
from mcpgateway.config.edit.config_keys import changes_by_file, places_in
from mcpgateway.config.edit.edits import KeyPath
from mcpgateway.config.load import Files
from mcpgateway.config.model import Profile
from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.discovery.tokens import cost_of, estimate
from mcpgateway.errors import Conflict, InvalidParams, NotOurs, NotThere
from mcpgateway.manage.config_edits import change_files
from mcpgateway.manage.entries import entity_tag
from mcpgateway.manage.reload import Reload
from mcpgateway.policy.permissions import DESTRUCTIVE, fault_of
from mcpgateway.records import FrozenRecord
from mcpgateway.views.specs import profile_of, view_specs

if TYPE_CHECKING:
    from mcpgateway.views.registry import ViewRegistry
    from mcpgateway.views.view import View

PROFILES = "profiles"
CLIENTS_MOST = {"cursor": 40, "vscode": 128, "windsurf": 100}
"""The numbers of tools that clients take, by their names."""
LISTS = ("include", "tools_off", "capabilities")
EXPECTED = (
    'such as {"include": ["github", "notes"], "tools_off": ["delete_*"], "description": "For the office"}'
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""The name of a profile, which is a part of a path."""


class ChangedProfile(FrozenRecord, frozen=True):
    """A profile after a change, as it is shown.

    :ivar tag: the tag of its present form.
    """

    shown: dict[str, Any]
    tag: str
    is_new: bool


@frozen
class ViewOperations:
    """The operations on views and profiles.

    :ivar registry: returns the registry of views, which is built on first use.
    :ivar key: key of the tags, so that they reveal nothing of a file.
    """

    reload: Reload
    registry: Callable[[], ViewRegistry]
    key: bytes = field(repr=False)

    def listed(self, most: int | None = None) -> list[dict[str, Any]]:
        """Return each view: its endpoint, its servers, and the size of its list of tools beside that of all tools.

        :param most: the number of tools that a client takes; the number of the others is ``cut``.
        """
        registry = self.registry()
        found = [_summary(registry.seen(each)) for each in view_specs(registry.views_config)]
        return [each if most is None else {**each, "cut": max(0, each["tools"] - most)} for each in found]

    def where(self) -> dict[tuple[str, str], list[str]]:
        """Return the paths of the views that list each tool, by its server and its own name."""
        registry, found = self.registry(), defaultdict[tuple[str, str], list[str]](list)
        for each in view_specs(registry.views_config):
            view = registry.seen(each)
            for item in view.listing.tools.values():
                if isinstance(item, Item):  # no tool that stands for the others
                    found[item.server, item.own].append(f"/{view.spec.name}")
        return found

    def shown(self, name: str, most: int | None = None) -> dict[str, Any]:
        """Return a view with the names of its listed tools, in their order.

        :param most: the number of tools that a client takes; the others are ``beyond``.
        :raise NotThere: there is no such view.
        """
        registry = self.registry()
        found = next((each for each in view_specs(registry.views_config) if each.name == name), None)
        if found is None:
            known = ", ".join(each.name for each in view_specs(registry.views_config)[:20])
            raise NotThere(f"no view {printable(name)[:100]}", f"one of {known}")
        view = registry.seen(found)
        listed = [entry.name for entry in _definitions(view)]
        most = len(listed) if most is None else most
        return {**_summary(view), "listed": listed[:most], "beyond": listed[most:]}

    def profiles(self) -> list[dict[str, Any]]:
        """Return all profiles, without the values of their variables."""
        files, budgets = self._files(), {each.pop("profile"): each for each in self.budgets()}
        shown = [_profile(each, _places_of(files, each.name)) for each in self._known().values()]
        return [{**each, "budget_use": budgets[each["name"]]} if each["budget"] else each for each in shown]

    def budgets(self) -> list[dict[str, Any]]:
        """Return for each profile with a budget how its clients have used that (`Budgets.use_of`)."""
        limited = [each for each in self._known().values() if each.budget]
        if not limited:
            return []  # the registry is not built for this
        use_of = self.registry().outcomes.budgets.use_of
        return [{"profile": each.name, "budget": each.budget, **use_of(_view_of(each))} for each in limited]

    def _tag(self, places: Sequence[Place]) -> str | None:
        return entity_tag([each.value for each in places], self.key) if places else None

    def put(self, name: str, wanted: Mapping[str, Any], condition: EditCondition) -> ChangedProfile:
        """Create a profile, or give it these servers and tools; its own servers and values stay.

        :raise GatewayError: a value is none, or the condition does not hold; no file is changed.
        """
        if not NAME.fullmatch(name):
            raise InvalidParams(
                f"{printable(name)[:100]}: a profile is named by letters, digits, '.', '_' and '-'"
            )
        files = self._files()
        places = _places_of(files, name)
        condition.check(self._tag(places))
        values = _values(wanted, set(self.reload.settings.blueprints))
        top = (PROFILES, name)
        # An empty list is no value, and a profile without any is an empty mapping.
        put: dict[KeyPath, Any] = {(*top, key): each for key, each in values.items() if each}
        gone = [(*top, key) for key in (*LISTS, "description") if not values.get(key)]
        if not put and not places:
            put = {top: {}}
        self._change(files, put, gone)
        written = _places_of(self._files(), name)
        return ChangedProfile(
            _profile(self._known()[name], written), self._tag(written) or "", is_new=not places
        )

    def delete(self, name: str, condition: EditCondition) -> None:
        """Delete a profile that has no servers and values of its own.

        :raise NotThere: there is none of that name.
        :raise Conflict: it defines servers or values, or a workspace uses it.
        """
        files = self._files()
        places = _places_of(files, name)
        if not places:
            raise NotThere(f"no profile {printable(name)[:100]}")
        condition.check(self._tag(places))
        profile = self._known()[name]
        own = [each for each in profile.servers if each not in profile.include]
        if own or profile.env:
            raise Conflict(
                f"{name} defines {', '.join(own) or 'values of variables'}",
                "take these out of the configuration file first",
            )
        users = [each.name for each in self.reload.settings.workspaces if name in each.profiles]
        if users:
            raise Conflict(
                f"{name} is a profile of {', '.join(users)}", "take it out of these workspaces first"
            )
        self._change(files, {}, [(PROFILES, name)])

    def _known(self) -> Mapping[str, Profile]:
        return self.reload.settings.profiles

    def _files(self) -> Files | None:
        # Each look reads and parses all files anew.
        return self.reload.gather() if self.reload.gather is not None else None

    def _change(self, files: Files | None, put: Mapping[KeyPath, Any], gone: Collection[KeyPath]) -> None:
        if files is None or not self.reload.config_file:
            raise NotOurs("this gateway has no configuration file that could be changed")
        edits = changes_by_file(files, self.reload.config_file, put, gone)
        if edits:
            change_files(self.reload, edits)


def _places_of(files: Files | None, name: str) -> list[Place]:
    return places_in(files, (PROFILES, name)) if files is not None else []


def _view_of(profile: Profile) -> str:
    return f"mcp/p/{profile.name}"


def _profile(profile: Profile, places: Iterable[Place]) -> dict[str, Any]:
    include = profile.include
    written = [each.value for each in places if isinstance(each.value, dict)]
    return {
        "name": profile.name,
        "path": f"/{_view_of(profile)}",
        "servers": list(profile.servers),
        "own": [each for each in profile.servers if each not in include],
        "include": list(include),
        "tools_off": list(profile.tools_off),
        "tier": profile.tier or DESTRUCTIVE,
        "budget": profile.budget,
        "capabilities": list(profile.capabilities),
        "variables": sorted(profile.env),
        "description": next(
            (each["description"] for each in written if isinstance(each.get("description"), str)), ""
        ),
    }


def _values(wanted: Mapping[str, Any], servers: set[str]) -> dict[str, Any]:
    if unknown := wanted.keys() - {*LISTS, "description"}:
        raise InvalidParams(f"{printable(min(unknown))[:100]} is no key of a profile here", EXPECTED)
    for key in LISTS:
        value = wanted.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise InvalidParams(f'"{key}" must be a list of texts', EXPECTED)
    if not isinstance(wanted.get("description", ""), str):
        raise InvalidParams('"description" must be a text', EXPECTED)
    if fault := fault_of(wanted.get("tools_off", [])):
        raise InvalidParams(f'"tools_off": {fault}')
    missing = [each for each in wanted.get("include", []) if each not in servers]
    if missing:
        raise InvalidParams(f'"include": there is no server {printable(missing[0])[:100]}')
    return dict(wanted)


class _Definition(msgspec.Struct, rename="camel"):
    """A listed tool; its schema stays as it is, since only its length counts."""

    name: str
    description: str | None = None
    input_schema: Raw = Raw(b"")


class _Listed(msgspec.Struct):
    """The result of ``tools/list``."""

    tools: list[_Definition]


def _definitions(view: View) -> list[_Definition]:
    return msgspec.json.decode(bytes(view.listed(ListKind.TOOL)), type=_Listed).tools


def _summary(view: View) -> dict[str, Any]:
    listed = _definitions(view)
    items = view.listing.names.items.values()
    return {
        "name": view.spec.name,
        "path": f"/{view.spec.name}",
        "kind": view.kind,
        "profile": profile_of(view.spec),
        "servers": list(view.servers),
        "unknown": [each.name for each in view.to_ask(ListKind.TOOL)],
        "tools": len(listed),
        "tokens": sum(
            estimate(each.description or "") + estimate(bytes(each.input_schema)) for each in listed
        ),
        "all_tools": len(items),
        "all_tokens": cost_of(items).total,
        "topology": view.topology(),
    }
