"""Clients' files for the control plane: list, detect, enrol and restore them, switch transparent endpoints off."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mcpgateway.config.document import visible
from mcpgateway.config.model import ClientFile
from mcpgateway.config.settings import Settings
from mcpgateway.errors import ClientFilesFailed, InvalidParams
from mcpgateway.manage.enrolment import APPLY, FileChecker
from mcpgateway.observe import immorterm
from mcpgateway.policy.remote_policy import check_may_run

PATH_LIMIT = 4096
NAME_LIMIT = 64
NUMBER_LIMIT = 10**8
CUSTOM = "custom"
MODES = ("http", "fail-open", "single")
OFFERS = "--offers"  # the gateway's own servers are added, as `clients apply` does
BY_URL = ("--mode", "http")  # these requests are older than the other ways


class SettingsSource(Protocol):
    """The settings in force, as `mcpgateway.manage.reload.Reload` has them."""

    @property
    def settings(self) -> Settings:
        """The settings in force."""

    def read_own(self) -> None:
        """Read a file at once that the gateway has just written."""


@define(eq=False, repr=False)
class ClientFiles:
    """The operations on clients' files; the helper program makes all changes of them.

    :ivar switch: switches the transparent endpoints off, or on again.
    :ivar port: the gateway's port.
    """

    log = Logger()

    _ask: FileChecker
    _source: SettingsSource
    switch: Callable[[bool], None]
    port: int
    _is_off: bool = field(default=False, init=False)

    def listed(self) -> list[dict[str, Any]]:
        """Return the files that use the gateway."""
        return [shown(each) for each in self._source.settings.adopted]

    def check_may_run(self, principal: str) -> None:
        """Check that a principal may decide which servers run here.

        :raise NotEntitled: the principal may not.
        """
        check_may_run(principal, self._source.settings.gateway)

    def detect(self) -> Deferred[Any]:
        """Return the clients of this machine.

        :raise ClientFilesFailed: (through the Deferred) the helper program has failed.
        """
        return self._ask("detect").addCallback(_detected)

    def in_projects(self, directories: Iterable[str]) -> Deferred[Any]:
        """Return the clients' files of projects.

        :param directories: the directories in which clients work.
        :raise ClientFilesFailed: (through the Deferred) the helper program has failed.
        """
        words = [word for each in directories for word in ("--around", each)]
        return self._ask("projects", *words)

    def register_project(self, path: object) -> Deferred[dict[str, Any]]:
        """Enrol the file of a project.

        :raise InvalidParams: the path is malformed, or that of a file.
        :raise ClientFilesFailed: (through the Deferred) the helper program has failed.
        """
        file = _path(path, "configPath")
        if not os.path.isfile(file):
            found = "found a directory" if os.path.isdir(file) else "there is none"
            raise InvalidParams(
                f"configPath: {visible(file)}: expected a file, and {found}",
                "name the file that lists the project's servers, such as /…/.mcp.json",
            )
        return self._apply((*BY_URL, "--file", file)).addCallback(lambda _: self._registered(file))

    def register(self, tool: object, path: object) -> Deferred[dict[str, Any]]:
        """Enrol the files of a client, or one named file.

        :raise InvalidParams: the client is unknown, or the path malformed.
        :raise ClientFilesFailed: (through the Deferred) the helper program has failed.
        """
        name = _tool(tool)
        file = "" if path is None else _path(path, "configPath")
        if name == CUSTOM and not file:
            raise InvalidParams("configPath: expected the file of the client, since tool is 'custom'")
        words = (*BY_URL, "--client", name, *(("--file", file) if file else ()))

        def done(_: object) -> dict[str, Any]:
            adopted = [each for each in self._source.settings.adopted if _is_meant(each, name, file)]
            servers = dict.fromkeys(server for each in adopted for server in each.servers)
            where = file or (adopted[0].path if adopted else None)
            return {"tool": tool, "registered": list(servers), "configPath": where}

        return self._apply(words).addCallback(done)

    def plan(self, tool: object, path: object, mode: object) -> Deferred[dict[str, Any]]:
        """Return the change that enrolling a client's file would make, as a diff without secrets.

        :param mode: as for `apply`.
        :raise InvalidParams: the client or the mode is unknown, or the path malformed.
        :raise ClientFilesFailed: (through the Deferred) the helper program has failed.
        """
        return self._ask("plan", OFFERS, *_wanted(tool, path, mode)).addCallback(_report)

    def apply(self, tool: object, path: object, mode: object) -> Deferred[dict[str, Any]]:
        """Enrol a client's file, as ``clients apply`` does.

        :param mode: by URL or by command; None for the usual way.

        :raise InvalidParams: the client or the mode is unknown, or the path malformed.
        :raise ClientFilesFailed: (through the Deferred) the helper program has failed.
        """
        return self._apply((OFFERS, *_wanted(tool, path, mode))).addCallback(_report)

    def undo(self, tool: object, path: object, version: object = None) -> Deferred[dict[str, Any]]:
        """Restore a client's file, which uses the gateway no more, or return it to what it was before a change.

        :param version: the number of the change in the history; None to restore the file.
        :raise InvalidParams: the client is unknown, or the path or the number malformed.
        :raise ClientFilesFailed: (through the Deferred) the helper program has failed.
        """
        return self._done("undo", *_restored(tool, path, version)).addCallback(_report)

    def restoration(self, tool: object, path: object, version: object) -> Deferred[dict[str, Any]]:
        """Return the change that `undo` would make, as a diff without secrets.

        :raise InvalidParams: as for `undo`.
        :raise ClientFilesFailed: (through the Deferred) the helper program has failed.
        """
        return self._ask("restoration", *_restored(tool, path, version)).addCallback(_report)

    def history(self, path: str) -> Deferred[Any]:
        """Return the changes of enrolled files, the latest first.

        :param path: the one file whose changes are meant; empty for all.
        :raise InvalidParams: the path is malformed.
        :raise ClientFilesFailed: (through the Deferred) the helper program has failed.
        """
        return self._ask("history", *(("--file", _path(path, "path")) if path else ()))

    def change(self, number: str) -> Deferred[Any]:
        """Return a change of the history with its diff, without secrets.

        :raise InvalidParams: the number is malformed.
        :raise ClientFilesFailed: (through the Deferred) the helper program has failed, or there is no such change.
        """
        is_number = number.isascii() and number.isdigit()
        return self._ask("history", "--version", _number(int(number) if is_number else 0))

    def disable(self) -> Deferred[dict[str, Any]]:
        """Restore all clients' files, and refuse requests on transparent endpoints meanwhile.

        :raise ClientFilesFailed: (through the Deferred) the helper program has failed; the endpoints stay switched on.
        """
        return self._done("disable").addCallback(lambda _: self._switched(is_off=True))

    def enable(self) -> Deferred[dict[str, Any]]:
        """Enrol the clients' files again.

        :raise ClientFilesFailed: (through the Deferred) the helper program has failed.
        """
        return self._done("enable").addCallback(lambda _: self._switched(is_off=False))

    def rename(self, server: str, new: str) -> Deferred[dict[str, Any]]:
        """Give the entries that were written for a server its new name; fires with the changed files, and errors.

        :raise ClientFilesFailed: (through the Deferred) the helper program has failed.
        """
        return self._done("rename", "--server", server, "--server", new)

    def is_enrolled(self, server: str) -> bool:
        """Return whether clients' files use the gateway for a server."""
        return any(server in each.servers for each in self._source.settings.adopted)

    def is_restored(self, server: str) -> bool:
        """Return whether a server is opted out: clients keep their own entries of it."""
        return any(each.rpartition(":")[2] == server for each in self._source.settings.clients.opt_out)

    def restore(self, server: str) -> Deferred[Any]:
        """Restore clients' own entries of one server, which stays opted out.

        :raise ClientFilesFailed: (through the Deferred) the helper program has failed.
        """
        enrolled = [each.client for each in self._source.settings.adopted if server in each.servers]
        return self._done("undo", f"--server={server}", *_of(enrolled))

    def take_in(self, server: str) -> Deferred[Any]:
        """Enrol clients again for a restored server: those with its own entries, and those that are enrolled.

        :raise ClientFilesFailed: (through the Deferred) the helper program has failed.
        """
        settings = self._source.settings
        given = [each.rpartition(":") for each in settings.clients.opt_out]
        its = [client for client, _, name in given if client and name == server]
        return self._apply((f"--server={server}", *_of([*its, *(each.client for each in settings.adopted)])))

    def _switched(self, *, is_off: bool) -> dict[str, Any]:
        # If no client uses the gateway, the ledger cannot record the opt-out.
        self._is_off = is_off and not self._source.settings.adopted
        is_off = self._source.settings.is_disabled or self._is_off
        self.switch(is_off)
        self.log.info(
            "the gateway is switched {state}", event="service.switched", state="off" if is_off else "on"
        )
        return {"ok": True, "status": "disabled" if is_off else "enabled"}

    @property
    def is_disabled(self) -> bool:
        """Return whether the gateway is switched off softly."""
        return self._source.settings.is_disabled or self._is_off

    def config(self) -> dict[str, Any]:
        """Return the status in the shape of S000."""
        settings = self._source.settings
        servers = dict.fromkeys(name for each in settings.adopted for name in each.servers)
        return {
            "port": self.port,
            "optedOut": list(dict.fromkeys(each.rpartition(":")[2] for each in settings.clients.opt_out)),
            "disabled": self.is_disabled,
            "managedServers": list(servers),
        }

    def _apply(self, words: tuple[str, ...]) -> Deferred[Any]:
        return self._done(*APPLY, *words)

    def _done(self, *words: str) -> Deferred[Any]:
        done = self._ask(*words)
        done.addBoth(self._read_again)
        return done.addCallback(_checked)

    def _read_again(self, result: Any) -> Any:
        self._source.read_own()
        return result

    def _registered(self, file: str) -> dict[str, Any]:
        found = next((each for each in self._source.settings.adopted if _is_meant(each, "", file)), None)
        servers = list(found.servers) if found is not None else []
        return {"registered": servers, "passthrough": found.remotes if found is not None else 0}


def shown(file: ClientFile) -> dict[str, Any]:
    """Return a client's file as ``GET /clients`` shows it: with immorterm-mcp-gateway's keys, and the gateway's own."""
    return {
        **immorterm.client(file),
        "name": file.client,
        "title": file.title,
        "path": file.path,
        "mode": file.mode,
        "servers": list(file.servers),
        "suspended": file.suspended,
    }


def _wanted(tool: object, path: object, mode: object) -> tuple[str, ...]:
    if mode is not None and mode not in MODES:
        raise InvalidParams(f"mode: expected one of {', '.join(MODES)}")
    how = () if mode is None else ("--mode", str(mode))
    return ("--client", _tool(tool), "--file", _path(path, "configPath"), *how)


def _restored(tool: object, path: object, version: object) -> tuple[str, ...]:
    to = () if version is None else ("--version", _number(version))
    return (*_wanted(tool, path, None), *to)


def _number(version: object) -> str:
    if not isinstance(version, int) or not 0 < version < NUMBER_LIMIT:
        raise InvalidParams("version: expected the number of a change in the history of clients' files")
    return str(version)


def _report(found: Any) -> dict[str, Any]:
    files = found.get("files", ()) if isinstance(found, Mapping) else ()
    return {"files": [{"diff": [], **each} for each in files if isinstance(each, Mapping)]}


def _of(clients: Iterable[str]) -> list[str]:
    return [f"--client={each}" for each in dict.fromkeys(clients)]


def _is_meant(each: ClientFile, name: str, file: str) -> bool:
    if file:
        return os.path.realpath(each.path) == os.path.realpath(file)
    return each.client == name


def _checked(report: Any) -> Any:
    files = report.get("files") if isinstance(report, Mapping) else None
    errors = [each.get("error") for each in files or () if isinstance(each, Mapping)]
    for why in errors:
        if isinstance(why, str) and why:
            raise ClientFilesFailed(why)
    return report


def _detected(found: Any) -> list[dict[str, Any]]:
    listed = next((found[key] for key in ("detected", "clients", "files") if key in found), ())
    if not isinstance(listed, list):
        return []
    return [_in_their_words(each) for each in listed if isinstance(each, dict)]


def _in_their_words(found: dict[str, Any]) -> dict[str, Any]:
    name = found.get("tool")
    return {"name": name, **found, "tool": immorterm.TOOLS.get(str(name), name)}


def _path(value: object, key: str) -> str:
    # The text becomes a word of a command line, in which a leading dash would make it an option.
    if not isinstance(value, str) or not value.startswith("/") or len(value) > PATH_LIMIT or "\0" in value:
        raise InvalidParams(f"{key}: expected the absolute path of a client's file")
    return os.path.normpath(value)


def _tool(value: object) -> str:
    from mcpgateway.clientfiles.formats.clients import DIALECTS  # rarely needed

    is_name = isinstance(value, str) and len(value) <= NAME_LIMIT
    name = immorterm.NAMES.get(str(value), value) if is_name else None
    if name not in DIALECTS:
        raise InvalidParams(f"tool: expected one of {', '.join(sorted((*immorterm.NAMES, *DIALECTS)))}")
    return str(name)
