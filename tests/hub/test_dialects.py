"""Files in the forms of other programs, written to by the gateway: they are read as before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from mcpgateway.config.edit.change import read_patch
from mcpgateway.config.edit.conditions import EditCondition
from mcpgateway.config.edit.edits import Put
from mcpgateway.config.model import ServerSpec
from mcpgateway.manage.config_edits import set_in_config
from mcpgateway.manage.entries import Entries
from tests.manage.test_entries import entries_of
from tests.support.managed import Managed

FORMS = {
    "ours": 'servers: {a: {command: run, env: {T: "${ONLY_SYS}"}}}\n',
    "klipide": """\
profiles: {dev: {servers: {a: {command: run, env: {T: "${ONLY_SYS}"}}}}}
workspaces: {shop: {path: /tmp, profiles: [dev]}}
""",
    "older klipide": 'servers: {a: {command: run, env: {T: "${ONLY_SYS}"}}}\nprojects: {shop: /tmp}\n',
    "harshal": 'a: {type: local, command: [run], environment: {T: "{env:ONLY_SYS}"}, lazy: {enabled: true}}\n',
    "clients": 'mcpServers: {a: {command: run, env: {T: "${ONLY_SYS}"}}}\n',
    "daemons": '- {name: a, command: run, env: {T: "${ONLY_SYS}"}}\n',
}
FULL = {name: name != "ours" for name in FORMS}
Write = Callable[[Managed, Entries], object]


def set_and_take_back(managed: Managed, _: Entries) -> None:
    """Edits of the file as ``token enable`` and ``token disable`` make them."""
    for value in ("bearer-required", ""):
        set_in_config(managed.reload, Put(("gateway", "auth_mcp_transport"), value))


WRITERS: dict[str, Write] = {
    "token": set_and_take_back,
    "setting": lambda managed, _: set_in_config(managed.reload, Put(("gateway", "expose"), "meta")),
    "add": lambda _, entries: entries.add("new", {"command": "run"}),
    "put": lambda _, entries: entries.put("new", {"url": "http://localhost:1/mcp"}, EditCondition()),
    "patch": lambda _, entries: entries.patch("a", read_patch({"set": {"env.MORE": "x"}}), EditCondition()),
    "share": lambda _, entries: entries.patch(
        "a", read_patch({"set": {"share": "session"}}), EditCondition()
    ),
}


def managed_in(home: Path, form: str) -> Managed:
    """A home with a configuration in that form, and a login environment with a value."""
    home.mkdir(mode=0o700)
    (home / "environment.json").write_text(json.dumps({"ONLY_SYS": "yes", "HOME": "/h"}))
    return Managed(home, FORMS[form])


def plain(server: ServerSpec, **known: Any) -> ServerSpec:
    """A server but for what a writer has meant to change."""
    env = {name: value for name, value in server.env.items() if name != "MORE"}
    return evolve(server, env=env, credential="", **known)


@pytest.mark.parametrize("form", FORMS)
class WriterTests:
    """Writers of such a file."""

    @pytest.mark.parametrize("writer", WRITERS)
    def test_it_is_read_as_before(self, tmp_path: Path, form: str, writer: str) -> None:
        """The servers of such a file are what they were, in force and after the next start."""
        managed = managed_in(tmp_path / "home", form)
        (before,) = managed.reload.settings.servers
        assert before.env.get("T") == ("yes" if FULL[form] else "")
        WRITERS[writer](managed, entries_of(managed))
        known = {"share": before.share} if writer == "share" else {}
        for settings in (managed.reload.settings, Managed.again(managed.home).reload.settings):
            (server,) = (each for each in settings.servers if each.name == "a")
            assert plain(server, **known) == plain(before)
            assert len(settings.servers) == (2 if writer in ("add", "put") else 1)

    def test_all_of_them(self, tmp_path: Path, form: str) -> None:
        """The edits can be made one after the other, too; the settings count."""
        managed = managed_in(tmp_path / "home", form)
        (before,) = managed.reload.settings.servers
        for write in WRITERS.values():
            if write is not WRITERS["put"]:
                write(managed, entries_of(managed))
        settings = Managed.again(managed.home).reload.settings
        (server,) = (each for each in settings.servers if each.name == "a")
        assert plain(server, share=before.share) == plain(before)
        assert settings.gateway.views.expose.value == "meta"
