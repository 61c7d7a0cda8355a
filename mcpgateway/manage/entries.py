"""Edits of servers' entries by operators: written back to the file that defines each.

Files are written by the same code as for the management tools (`mcpgateway.manage.install`), but without asking a
human: the caller holds the admin token, or uses the Unix socket.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from attrs import evolve, field, frozen
from twisted.internet.defer import Deferred, succeed

from mcpgateway.config.document import printable
from mcpgateway.config.edit import permissions
from mcpgateway.config.edit.change import (
    ENV,
    ENVIRONMENT,
    HEADERS,
    Patch,
    dotted,
    is_on,
    switched_over,
    touched,
)
from mcpgateway.config.edit.conditions import EditCondition
from mcpgateway.config.edit.edits import MISSING, NAME, Edit, KeyPath, Put, Remove, Rename, at, same
from mcpgateway.config.edit.overlays import OverlayPlace, original_command
from mcpgateway.config.expand import FORBIDDEN, VARIABLE
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Remote, Rest
from mcpgateway.errors import InvalidParams, NameTaken, NotOurs, Unfit
from mcpgateway.hints import cli
from mcpgateway.manage.install import Installer
from mcpgateway.manage.install_plans import InstallPlan
from mcpgateway.manage.servers import ServerOperations
from mcpgateway.manage.tools.checks import check_definition, check_name
from mcpgateway.manage.tools.config import without_values
from mcpgateway.observe.roster import Roster

TAG_BYTES = 12
# The keys of a server that its client uses without the gateway, too.
OF_CLIENTS = frozenset(("command", "args", "env", "url", "headers", "cwd"))
PASSING = "the gateway has no configuration file, so this only holds until it ends"


@frozen
class EntryChange:
    """The outcome of a change.

    :ivar name: the present name of the server.
    :ivar is_other: True if the entry was changed.
    :ivar is_new: True if no server had that name.
    :ivar hint: a remark for the caller.
    :ivar keys: the dotted keys that were changed.
    :ivar secrets: a sentence on the variables and headers whose values are in the file of values; empty for none.
    """

    name: str
    is_other: bool = True
    is_new: bool = False
    hint: str = ""
    keys: tuple[str, ...] = ()
    secrets: str = ""


@frozen
class Entries:
    """Changes the entries of servers.

    :ivar installing: writer of the files.
    :ivar key: key of the tags, so that they reveal nothing of an entry.
    """

    installing: Installer
    roster: Roster
    operating: ServerOperations
    key: bytes = field(repr=False)

    def tag(self, name: str) -> str:
        """Return the tag of an entry in its present form.

        :raise UnknownServer: no server has that name.
        """
        self.roster.server(name)
        return entity_tag(self.installing.plans.whole_of(name), self.key)

    def shown(self, name: str) -> Any:
        """Return the entry without secrets; None if no file has it.

        :raise UnknownServer: no server has that name.
        """
        self.roster.server(name)
        return without_values(self.installing.plans.whole_of(name))

    def line(self, name: str) -> int | None:
        """Return the line of the entry in its file; None if no file has it."""
        return self.installing.plans.line_of(name)

    def overlay(self, name: str) -> dict[str, Any]:
        """Return the overlay over a server, without secrets, and its file; empty where none lies over it."""
        place = self.installing.laid_over(name)
        if place is None:
            return {}
        return {"overlay": {"file": place.file, "config": without_values(place.value)}}

    def settled(self, definition: Mapping[str, Any]) -> Deferred[None]:
        """Fire when the values that a definition names have been read, where a file with them is just changing."""
        return self.installing.settled() if VARIABLE.search(str(definition)) else succeed(None)

    def add(self, name: str, definition: Mapping[str, Any]) -> EntryChange:
        """Write a new entry.

        :raise GatewayError: the entry is not permitted, or its name is taken; no file was changed.
        """
        plan = self._plan_new(name, definition)
        self.installing.put(plan)
        self.operating.follow(name)  # switches of a former server of that name do not hold for this one
        return EntryChange(name, is_new=True)

    def _plan_new(self, name: str, definition: Mapping[str, Any]) -> InstallPlan:
        _check(name, definition)
        plan = self.installing.plans.plan(name, definition)
        if plan.is_there:
            raise NameTaken(
                f"there is a server {name} already",
                "PUT (servers add --replace) replaces it, PATCH (servers set-env and its like) changes it",
            )
        return plan

    async def add_apart(self, name: str, definition: Mapping[str, Any]) -> EntryChange:
        """Write a new entry as `add` does, with secret values in the file of values.

        :raise GatewayError: the entry is not permitted, or its name is taken; no file was changed.
        """
        self._plan_new(name, definition)  # a refused entry keeps no value
        made, secrets = await self._apart(name, definition)
        return evolve(self.add(name, made), secrets=secrets)

    async def put_apart(
        self, name: str, definition: Mapping[str, Any], condition: EditCondition
    ) -> EntryChange:
        """Add or replace an entry as `put` does, with secret values in the file of values.

        :raise GatewayError: the entry is not permitted, or the condition does not hold; no file was changed.
        """
        _check(name, definition)
        is_there = name in self.roster.servers()
        condition.check(self.tag(name) if is_there else None, replaces=is_there)
        made, secrets = await self._apart(name, definition)
        return evolve(self.put(name, made, condition), secrets=secrets)

    async def _apart(self, name: str, definition: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
        """Return a definition whose secret variables and headers are in the file of values, and a sentence on them."""
        key = ENV if ENV in definition else ENVIRONMENT
        texts = {each: _texts_of(definition.get(each)) for each in (key, HEADERS)}
        env, headers, file = await self.installing.keep_secrets(name, texts[key], texts[HEADERS])
        made = {
            each: {**definition[each], **found.texts}
            for each, found in ((key, env), (HEADERS, headers))
            if found.names
        }
        return {**definition, **made}, _of_kept({**env.names, **headers.names}, file) if file else ""

    def put(self, name: str, definition: Mapping[str, Any], condition: EditCondition) -> EntryChange:
        """Add or replace an entry; an equal entry is not written.

        :raise GatewayError: the entry is not permitted, or the condition does not hold; no file was changed.
        """
        _check(name, definition)
        plans = self.installing.plans
        if name not in self.roster.servers():
            condition.check(None)
            return self.add(name, definition)
        entry = plans.definition_of(name)
        before = entry if isinstance(entry, Mapping) else {}
        after = {**({NAME: before[NAME]} if NAME in before else {}), **definition}
        place = self.installing.overlay_of(name)
        if place is not None:
            condition.check(self.tag(name), replaces=True)
            return self._replace_over(name, definition, before, place)
        plans.home_of(name)
        if same(before, after):
            if condition.is_new:
                condition.check(self.tag(name))
            return EntryChange(name, is_other=False)
        condition.check(self.tag(name), replaces=True)
        self._write(name, (Put((name,), after),))
        return EntryChange(name)

    def _replace_over(
        self, name: str, definition: Mapping[str, Any], base: Mapping[str, Any], place: OverlayPlace
    ) -> EntryChange:
        """Replace a server whose entry belongs to a client, by an overlay that has the whole definition."""
        after = dict(definition)
        if "command" in after and base.get("args"):
            after.setdefault("args", [])  # those below would stay
        gone = [Remove((name, each)) for each in place.value if each not in after]
        put = [
            Put((name, key), value)
            for key, value in after.items()
            if key not in place.value or not same(place.value[key], value)
        ]
        is_other = self.installing.lay_over(name, place, (*gone, *put))
        source = self.roster.server(name).source
        return EntryChange(
            name,
            is_other,
            hint=f"{place.file} has the new definition; {source} stays as it is, with its variables below it",
        )

    def patch(self, name: str, patch: Patch, condition: EditCondition) -> EntryChange:
        """Change a part of an entry.

        :raise GatewayError: the change is not permitted, or the condition does not hold; no file was changed.
        """
        server = self.roster.server(name)
        condition.check(self.tag(name))
        entry, place, edits = self._edits_of(server, patch)
        if patch.new_name not in ("", name):
            self._check_new_name(patch.new_name)
        if place is not None:
            return self._lay_over(server, patch, entry, place, edits)
        if patch == Patch(disabled=patch.disabled) and not self._is_written(name):
            self.operating.switch(name, on=not patch.disabled)
            return EntryChange(name, hint=PASSING)
        served = self._write(name, edits) if edits else ()
        now = patch.new_name or name
        if patch.switches:
            self.operating.follow(now)
        return EntryChange(now, is_other=bool(edits), hint=_words_of(served, now), keys=_keys_of(edits))

    async def patch_apart(self, name: str, patch: Patch, condition: EditCondition) -> EntryChange:
        """Change a part of an entry as `patch` does, with secret values in the file of values.

        :raise GatewayError: the change is not permitted, or the condition does not hold; no file was changed.
        """
        condition.check(self.tag(name))
        self._edits_of(self.roster.server(name), patch)  # a refused change keeps no value
        env, headers, file = await self.installing.keep_secrets(name, patch.add_env, patch.add_headers)
        changed = self.patch(name, evolve(patch, add_env=env.texts, add_headers=headers.texts), condition)
        if not file:
            return changed
        says = _of_kept({**env.names, **headers.names}, file)
        kept = (*(f"{ENV}.{each}" for each in env.names), *(f"{HEADERS}.{each}" for each in headers.names))
        keys = dict.fromkeys((*changed.keys, *kept))
        return evolve(changed, is_other=True, keys=tuple(keys), hint=f"{says} {changed.hint}".rstrip())

    def _edits_of(
        self, server: ServerSpec, patch: Patch
    ) -> tuple[Mapping[str, Any], OverlayPlace | None, tuple[Edit, ...]]:
        """Return the entry of a server, the overlay for its changes if it is a client's, and the edits of a patch."""
        name = server.name
        definition = self.installing.plans.definition_of(name)
        entry = definition if isinstance(definition, Mapping) else {}
        place = self._overlay_of(name, patch)
        patch.check_unset(entry, place.value if place is not None else {})
        edits = _edits(name, patch, entry) if place is None else _edits_over(name, patch, place.value)
        if patch.gives_headers and not (isinstance(server.reach, Remote | Rest) or server.rest_url):
            raise InvalidParams(
                f"{name} is a program, which is sent no headers",
                "set a variable, with add_env or servers set-env",
            )
        return entry, place, edits

    def drafted(self, name: str, definition: Mapping[str, Any]) -> ServerSpec:
        """Return the server that a new entry would define; no file is changed.

        :raise GatewayError: the entry is not permitted.
        """
        _check(name, definition)
        permissions.check(Put((name,), dict(definition)))
        return self.installing.plans.draft(name, definition)

    def patched(self, name: str, patch: Patch) -> ServerSpec:
        """Return the server that an entry would define after a change; no file is changed.

        :raise GatewayError: the change is not permitted.
        """
        server = self.roster.server(name)
        _, place, edits = self._edits_of(server, patch)
        return self.installing.plans.edited_server(name, edits, place) if edits else server

    def remove(self, name: str, condition: EditCondition) -> tuple[str, str]:
        """Remove an entry; return the file that keeps it, and a remark.

        :raise GatewayError: it may not be removed, or the condition does not hold; no file was changed.
        """
        self.roster.server(name)
        condition.check(self.tag(name))
        self.installing.plans.home_of(name)
        left, file = self.installing.values_left_by(name)
        _, copy = self.installing.remove(name)
        again = self.roster.servers().get(name)
        says = _words_of((again,) if again is not None else (), "")
        stays = (
            f"{', '.join(left)} {'stays' if len(left) == 1 else 'stay'} in {file}, for an undo"
            if left
            else ""
        )
        more = f"{stays}; no other server refers to it, so an editor may take it out there." if left else ""
        return copy, f"{says} {more}".strip()

    def _overlay_of(self, name: str, patch: Patch) -> OverlayPlace | None:
        try:
            place = self.installing.overlay_of(name)
        except NotOurs:
            if patch == Patch(disabled=patch.disabled):
                return None  # it can be switched for as long as the gateway runs
            raise
        if place is not None and patch.new_name not in ("", name):
            raise NotOurs(
                f"{name} is the name of an entry in {self.roster.server(name).source}, which is its client's own",
                f"{cli('clients undo --server {}', name)} gives the entry back; rename it in that file, and"
                f" {cli('clients apply')} enrols it by its new name",
            )
        return place

    def _is_written(self, name: str) -> bool:
        try:
            return bool(self.installing.plans.home_of(name))
        except NotOurs:
            return False

    def _lay_over(
        self,
        server: ServerSpec,
        patch: Patch,
        base: Mapping[str, Any],
        place: OverlayPlace,
        edits: tuple[Edit, ...],
    ) -> EntryChange:
        """Change a server whose entry belongs to a client, by an overlay in the gateway's own configuration."""
        name, held = server.name, place.value
        beneath = [
            each for each in _gone(patch) if at(held, each) is MISSING and at(base, each) is not MISSING
        ]
        if beneath:
            raise NotOurs(
                f"{', '.join(map(dotted, beneath))}: stands in {server.source}",
                f"{cli('servers unset {} {} --original', name, *map(dotted, beneath))} takes it out there",
            )
        if patch.disabled is not None:
            edits = (*edits, *switched_over(name, held, on=not patch.disabled, is_on_below=is_on(base)))
        is_other = self.installing.lay_over(name, place, edits)
        is_listed = name in self.roster.servers()  # else its approved project's clients alone use it
        if patch.switches and is_listed:
            self.operating.follow(name)
        says = f"The change is in {place.file}, for all clients that use {name}."
        given = [dotted(key_path) for key_path in patch.values if key_path[0] in OF_CLIENTS]
        if is_listed and (patch.add_env or given):
            says += (
                f" {original_command(name, list(patch.add_env), given)} writes it into {server.source}, too."
            )
        return EntryChange(name, is_other, hint=says, keys=_keys_of(edits) if is_other else ())

    def _write(self, name: str, edits: tuple[Edit, ...]) -> tuple[ServerSpec, ...]:
        served = self.installing.plans.foresee(name, edits)
        self.installing.change(edits)
        renamed = any(isinstance(each, Rename) for each in edits)
        return served if renamed else ()

    def _check_new_name(self, name: str) -> None:
        check_name(name)
        if name in self.roster.servers():
            raise NameTaken(f"there is a server {name} already", "pass another name")


def _texts_of(given: Any) -> dict[str, str]:
    held = given if isinstance(given, Mapping) else {}
    return {str(each): value for each, value in held.items() if isinstance(value, str)}


def _of_kept(names: Mapping[str, str], file: str) -> str:
    """Return a sentence on the variables and headers whose values are in the file of values, by their names there."""
    listed = ", ".join(f"{each} (as {own})" if own != each else each for each, own in names.items())
    value, it = ("value is", "it") if len(names) == 1 else ("values are", "them")
    return f"{listed}: the {value} in {file}, and the entry refers to {it}."


def entity_tag(value: Any, key: bytes) -> str:
    """Return the entity tag of a value, which reveals nothing of it to those without the key."""
    whole = json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    made = blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=TAG_BYTES, key=key)
    return f'"{made.hexdigest()}"'


def _edits(name: str, patch: Patch, entry: Mapping[str, Any]) -> tuple[Edit, ...]:
    """Return the edits of an entry.

    :raise GatewayError: a key may not be changed, or a value cannot stand there.
    """
    edits = patch.edits(name, entry)
    for each in edits:
        permissions.check(each)
    _check_parts(touched(name, entry, edits))
    return edits


def _edits_over(name: str, patch: Patch, overlay: Mapping[str, Any]) -> tuple[Edit, ...]:
    """Return the edits of an overlay, which has no name of its own and is switched apart."""
    return _edits(name, evolve(patch, disabled=None, new_name=""), overlay)


def _check(name: str, definition: Mapping[str, Any]) -> None:
    check_name(name)
    _check_parts(definition)


def _check_parts(definition: Mapping[str, Any]) -> None:
    # A caller with this right may edit the file as well.
    check_definition(definition, may_hold_secrets=True, is_by_hand=True)
    _check_values(definition)


def _check_values(definition: Mapping[str, Any]) -> None:
    for key in (ENV, ENVIRONMENT, HEADERS):
        held = definition.get(key)
        listed = [(each, each) for each in held] if isinstance(held, list) else []
        for name, value in held.items() if isinstance(held, Mapping) else listed:
            if FORBIDDEN.search(str(name)) or FORBIDDEN.search(str(value)):
                shown = printable(str(name).partition("=")[0])
                raise Unfit(f"{key}: {shown} has a line break or a NUL in it")


def _keys_of(edits: tuple[Edit, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(dotted(each.key_path[1:]) for each in edits if not isinstance(each, Rename)))


def _gone(patch: Patch) -> Iterator[KeyPath]:
    yield from patch.unset
    yield from ((ENV, each) for each in patch.remove_env)
    yield from ((HEADERS, each) for each in patch.remove_headers)


def _words_of(served: tuple[ServerSpec, ...], but: str) -> str:
    others = [each for each in served if each.name != but]
    return "; ".join(
        f"another definition of {each.name} is in force now, of {each.source}" for each in others
    )
