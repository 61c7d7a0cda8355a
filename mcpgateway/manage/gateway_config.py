"""The configuration of the running gateway: files, problems, the values that count, and changes of its own settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import field, frozen

from mcpgateway.config.document import printable
from mcpgateway.config.edit.conditions import EditCondition
from mcpgateway.config.edit.config_keys import changes_by_file, config_key_path, known_key, rows_of
from mcpgateway.config.edit.edits import KeyPath, Put, same
from mcpgateway.config.edit.permissions import masked_keys
from mcpgateway.config.load import Files
from mcpgateway.config.problems import Problem
from mcpgateway.config.section import Section
from mcpgateway.discovery.naming import server_hint
from mcpgateway.errors import InvalidParams, NotOurs, UnknownServer
from mcpgateway.manage.config_edits import change_files
from mcpgateway.manage.entries import entity_tag
from mcpgateway.manage.reload import Reload
from mcpgateway.observe.config_values import values_as_json, values_in

TOP = "gateway"
EXPECTED = 'such as {"set": {"http_port": 9200, "limits.spawns": 4}, "unset": ["registry_url"]}'


@frozen
class GatewayConfig:
    """Shows the configuration, and changes the gateway's own settings in its files.

    :ivar port: returns the port of the running gateway, which its command line may name.
    :ivar key: key of the tags, so that they reveal nothing of a file.
    """

    reload: Reload
    port: Callable[[], int]
    key: bytes = field(repr=False)

    @property
    def _files(self) -> Files:
        if self.reload.gather is None or not self.reload.config_file:
            raise NotOurs("this gateway has no configuration file")
        return self.reload.gather()

    def tag(self) -> str:
        """Return the tag of the gateway's settings in their present form."""
        found = self._files
        shared = [each.value for each in found.native if each.file != found.of_node]  # the same at all nodes
        held = [each.get(TOP) for each in shared if isinstance(each, dict)]
        return entity_tag(held, self.key)

    def shown(self, server: str = "") -> dict[str, Any]:
        """Return files, problems, and the values that count with their sources; of one server, if one is named.

        :raise UnknownServer: no server has that name.
        """
        state, settings = self.reload.state, self.reload.settings
        if server and server not in settings.blueprints:
            raise UnknownServer(
                f"Unknown server: {printable(server)}", server_hint(server, settings.blueprints)
            )
        issuer = settings.gateway.security.oauth
        named = self.port() if self.port() != settings.gateway.http_port else None
        rows = values_in(self._files, settings, port=named, server=server or None)
        return {
            **state.shown(),
            "file": self.reload.config_file,
            "files": [{"path": each, "exists": os.path.exists(each)} for each in state.files],
            "problems": [_shown(each) for each in (*state.problems, *state.warnings)],
            "issuer": {
                "url": issuer.issuer,
                "dashboards": bool(issuer.issuer and issuer.dashboard.client_id),
            },
            **values_as_json(rows),
        }

    def change(
        self, values: Mapping[str, Any], unset: Iterable[str], condition: EditCondition
    ) -> list[dict[str, str]]:
        """Change settings by their dotted keys below ``gateway``; return each change, with when it counts.

        :raise GatewayError: a change is not permitted, or the condition does not hold; no file is changed.
        """
        condition.check(self.tag())
        found = self._files
        gone = [_path_of(each) for each in unset]
        put = {_path_of(key): value for key, value in values.items()}
        if both := [each for each in gone if each in put]:
            raise InvalidParams(f"{'.'.join(both[0][1:])}: is changed twice in one request")
        for key_path, value in put.items():
            if value is None:
                raise InvalidParams(f"{'.'.join(key_path[1:])}: null is no value", '"unset" takes a key away')
            if [*masked_keys(value)]:
                raise InvalidParams(
                    f"{'.'.join(key_path[1:])}: what is shown in place of a secret is not taken for it"
                )
        changes = changes_by_file(found, self.reload.config_file, put, gone)
        held = {each.file: each.value for each in found.native}
        edits = {
            file: tuple(each for each in made if not _is_so(held.get(file), each))
            for file, made in changes.items()
        }
        edits = {file: made for file, made in edits.items() if made}
        if edits:
            change_files(self.reload, edits)
        return [{**each, "key": each["key"].removeprefix(f"{TOP}.")} for each in rows_of(edits)]


def _path_of(key: str) -> KeyPath:
    key_path = config_key_path(f"{TOP}.{key}")
    known = known_key(key_path)
    if known is not None and isinstance(known.key.kind, Section):
        raise InvalidParams(f"{printable(key)}: has keys of its own, which are set one by one", EXPECTED)
    return key_path


def _is_so(document: Any, change: Any) -> bool:
    if not isinstance(change, Put):
        return False
    for step in change.key_path:
        document = document.get(step) if isinstance(document, dict) else None
    return document is not None and same(document, change.value)


def _shown(problem: Problem) -> dict[str, Any]:
    where = problem.where
    return {
        "level": "error" if problem.is_error else "warning",
        "file": where.file,
        "line": where.line,
        "key": where.key,
        "says": str(problem),
    }
