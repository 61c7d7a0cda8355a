"""The dialect of a configuration file of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcpgateway.config.dialect import mark, reading_of
from mcpgateway.config.edit.edits import Put, placed
from mcpgateway.config.edit.file_text import edit, in_its_dialect
from mcpgateway.config.file_format import read_native, read_servers
from mcpgateway.config.model import Dialect
from mcpgateway.config.problems import Problems
from mcpgateway.config.read import parse

ENTRY = {"command": "run", "env": {"T": "${T}"}}
FORMS: dict[Dialect, list[Any]] = {
    Dialect.OURS: [
        {"servers": {"a": ENTRY}},
        {"servers": [{"name": "a", **ENTRY}]},
        {"servers": {"a": ENTRY}, "profiles": {"p": {"env": {"T": "x"}}}, "workspaces": {}},
        {"servers": {"a": ENTRY}, "mcpServers": {"b": ENTRY}},
        {},
    ],
    Dialect.KLIPIDE: [
        {"profiles": {"p": {"servers": {"a": ENTRY}}}},
        {"workspaces": {"w": {"path": "/w"}}},
        {"servers": {"a": {**ENTRY, "scope": "workspace"}}, "projects": {"w": "/w"}},
        {"projects": ["w"], "servers": {"a": ENTRY}},
        {"profiles": {"p": {"servers": {"a": ENTRY}}}, "servers": {}},
    ],
    Dialect.HARSHAL: [
        {"a": {"type": "local", "command": ["run"]}, "b": {"url": "http://h/"}},
        {"servers": {"command": "run"}, "_note": "x", "$schema": "y"},
    ],
    Dialect.CLIENTS: [{"mcpServers": {"a": ENTRY}}, {"mcp": {"a": ENTRY}}],
    Dialect.DAEMONS: [
        [{"name": "a", "command": "run", "port": 1}],
        {"daemons": [{"name": "a", "command": "x"}]},
    ],
}
ALL = [(value, dialect) for dialect, values in FORMS.items() for value in values]
# What has nothing to do with how servers are listed.
UNRELATED = {
    "gateway": {"expose": "meta", "auth_mcp_transport": ""},
    "clients": {"adopt": "never"},
    "compat": {"ports": [8765]},
    "settings": {"security": {"auth": {"enabled": False}}},
    "secrets": {"allow_cmd": False},
    "manhole": {"ssh_port": 0},
    "include": [],
    "version": 1,
    "_note": "x",
}


def reading(value: Any) -> Any:
    """Return how a file with this text is read."""
    return reading_of(parse(json.dumps(value), "/g/c.yaml", takes_list=True))


def entries(value: Any) -> list[Any]:
    """Return the entries of a file."""
    problems = Problems()
    native = read_native([parse(json.dumps(value), "/g/c.yaml", takes_list=True)], problems)
    found = read_servers(native, problems)
    assert not problems.errors
    return sorted(
        (each.title, each.origin.profile, each.env_policy.is_full, each.lazy, each.argv) for each in found
    )


class ReadingTests:
    """The recognition of dialects."""

    @pytest.mark.parametrize(("value", "dialect"), ALL)
    def test_forms(self, value: Any, dialect: Dialect) -> None:
        """A file is told by where its servers stand."""
        assert reading(value).dialect is dialect

    @given(st.sampled_from(ALL), st.sets(st.sampled_from(sorted(UNRELATED)), min_size=1))
    @settings(deadline=None)
    def test_unrelated_keys(self, form: tuple[Any, Dialect], keys: set[str]) -> None:
        """No setting of the gateway that stands beside them changes how servers are read."""
        value, dialect = form
        if isinstance(value, list):
            return  # it has no place for any
        more = {**value, **{key: UNRELATED[key] for key in keys}}
        assert reading(more).dialect is dialect
        assert entries(more) == entries(value)

    def test_settings_beside_servers(self) -> None:
        """Settings count in a file whose servers stand at its top, too."""
        document = parse('{"a": {"command": "x"}, "gateway": {"http_port": 5}}', "/g/c.json")
        problems = Problems()
        native = read_native([document], problems)
        assert (native.gateway.http_port, list(native.servers), len(problems)) == (5, [("", "a")], 0)

    @pytest.mark.parametrize("dialect", list(Dialect))
    def test_a_mark(self, dialect: Dialect) -> None:
        """The key ``dialect`` goes before every other sign."""
        for value, _ in ALL:
            if isinstance(value, dict):
                found = reading({**value, "dialect": dialect.value})
                assert (found.dialect, found.why) == (dialect, "dialect says so")

    def test_names_of_mcp_ctl(self) -> None:
        """The mark refuses the names that its program refuses."""
        problems = Problems()
        text = '{"dialect": "mcp-gateway", "gateway": {"expose": "full"}, "servers": {"a__b": {"command": "/x"}}}'
        read_native([parse(text, "/g/c.json")], problems)
        assert "servers.a__b" in str(problems.errors[0])


class MarkTests:
    """The mark that is written beside a change."""

    @pytest.mark.parametrize(("value", "dialect"), [each for each in ALL if isinstance(each[0], dict)])
    @pytest.mark.parametrize("file", ["c.yaml", "c.json"])
    def test_a_new_server(self, value: Any, dialect: Dialect, file: str) -> None:
        """A file is read as before when it gets a server, and says how where nothing else does."""
        text = json.dumps(value)
        made = edit(text, file, placed(value, Put(("new",), {"command": "x"})))
        kept = in_its_dialect(text, made, file)
        held = parse(kept, file).value
        assert reading(held).dialect is dialect
        before = entries(value)
        assert [each for each in entries(held) if each[0] != "new"] == before
        assert ("dialect" in held) is (kept != made)

    def test_it_is_needed(self) -> None:
        """A mark is needed where servers beside profiles would be read as ours."""
        before = {"profiles": {"p": {"servers": {"a": ENTRY}}}}
        assert mark(before, {**before, "servers": {"b": ENTRY}}) == "klipide-mcp-gateway"
        assert mark({}, {"mcpServers": {"a": ENTRY}}) == ""
        assert mark({"mcpServers": {"a": ENTRY}}, {"mcpServers": {}}) == ""
