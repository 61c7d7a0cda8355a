"""The defaults that are added to the arguments of a call."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.config.model import Project, ServerSpec
from mcpgateway.policy.argument_defaults import added, project_of, takers, value_of
from mcpgateway.protocol import jsonrpc

SERVER = ServerSpec("s", ("run",), {}, "/srv", workspace="/w/shop/api")
PROJECTS = (Project("all", "/w"), Project("shop", "/w/shop"), Project("site", "/site"))


def listed(*tools: Any) -> Raw:
    """A list of tools."""
    return jsonrpc.raw({"tools": tools})


class TakerTests:
    """Which tools take an argument."""

    @pytest.mark.parametrize(
        ("schema", "takes"),
        [
            ({"type": "string"}, True),
            ({}, True),
            (True, True),
            ({"type": ["string", "null"]}, True),
            ({"type": "integer"}, False),
            ({"type": ["array", "null"]}, False),
        ],
    )
    def test_what_means_a_text(self, schema: Any, takes: bool) -> None:  # noqa: FBT001 - a table
        """A property takes a text only if its schema allows one."""
        tool = {"name": "t", "inputSchema": {"properties": {"p": schema}}}
        assert takers(listed(tool), {"p": "x"}) == {"t": frozenset({"p"} if takes else ())}

    @pytest.mark.parametrize("tool", [{"name": "t"}, {"name": "t", "inputSchema": {"properties": []}}])
    def test_a_tool_without_properties(self, tool: Any) -> None:
        """A tool that says nothing of its arguments takes none of these."""
        assert takers(listed(tool), {"p": "x"}) == {"t": frozenset()}

    @pytest.mark.parametrize(
        "page", [b"[]", b"{}", b'{"tools":5}', b'{"tools":[5]}', b'{"tools":[{"name":5}]}']
    )
    def test_what_is_no_list(self, page: bytes) -> None:
        """A value that is no list of tools teaches nothing."""
        assert takers(Raw(page), {"p": "x"}) == {}


class ValueTests:
    """The value of an argument."""

    @pytest.mark.parametrize(
        ("template", "said"),
        [
            ("${workspace}/src", "/w/shop/api/src"),
            ("${cwd}", "/srv"),
            ("plain", "plain"),
            ("${other}", "${other}"),
            ("${project}", None),
        ],
    )
    def test_placeholders(self, template: str, said: str | None) -> None:
        """A known placeholder is filled in; a text with an unknown one is left out."""
        assert value_of(template, SERVER) == said

    @pytest.mark.parametrize(
        ("workspace", "default", "path"),
        [
            ("/w/shop/api", "", "/w/shop"),
            ("/w/shop", "site", "/w/shop"),
            ("/w/shopping", "site", "/w"),
            ("/else", "site", "/site"),
            ("", "site", "/site"),
            ("/else", "unknown", ""),
        ],
    )
    def test_projects(self, workspace: str, default: str, path: str) -> None:
        """The innermost project around a workspace is its own; who works in none is in the default one."""
        spec = ServerSpec("s", (), {}, "/", workspace=workspace, projects=PROJECTS, default_project=default)
        assert project_of(spec) == path


class AddedTests:
    """The arguments with those added."""

    @given(
        given=st.dictionaries(st.text(), st.integers()),
        values=st.dictionaries(st.text(), st.none() | st.text()),
    )
    def test_nothing_is_lost_and_nothing_replaced(
        self, given: dict[str, int], values: dict[str, str | None]
    ) -> None:
        """The caller's arguments stay, and only missing ones are added."""
        more = {name: value for name, value in values.items() if value is not None and name not in given}
        said = added({"arguments": jsonrpc.raw(given)}, values)
        assert (json.loads(bytes(said)) if said is not None else given) == given | more
        assert (said is None) == (not more)

    def test_bytes_of_other_arguments(self) -> None:
        """Values that are passed on keep their text."""
        said = added({"arguments": Raw(b'{"a":1.00, "b":"\\u0041"}')}, {"c": "x"})
        assert bytes(said or b"") == b'{"a":1.00,"b":"\\u0041","c":"x"}'
