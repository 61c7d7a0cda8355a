"""The handshake's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcpgateway.errors import HandshakeFailed
from mcpgateway.protocol import jsonrpc, legacy
from mcpgateway.protocol.versions import LEGACY, is_legacy, negotiated


class HandshakeTests:
    """The gateway's side of the handshake, and the server's answer as it is passed on."""

    def test_a_shared_child_is_told_of_no_client(self) -> None:
        """No capabilities, our own name, our latest revision."""
        said = legacy.shared_params("1.2")
        assert said["capabilities"] == {}
        assert said["clientInfo"] == {"name": "mcpgateway", "version": "1.2"}
        assert said["protocolVersion"] == LEGACY[-1]

    @pytest.mark.parametrize("params", [b"{}", b'{"protocolVersion":7}', b'{"protocolVersion":"x"}'])
    def test_odd_versions(self, params: bytes) -> None:
        """A client that asks for nothing, or for nonsense, gets the latest."""
        decoded = jsonrpc.decode(params)
        assert legacy.session_params(decoded, "1", may_ask=True)["protocolVersion"] == LEGACY[-1]
        assert legacy.session_params(None, "1", may_ask=True)["clientInfo"]["name"] == "mcpgateway"

    def test_what_its_own_child_is_told(self) -> None:
        """A child of one session learns its client's capabilities, unless it is not to ask anything."""
        decoded = jsonrpc.decode(b'{"capabilities":{"roots":{"x":1.10}}}')
        assert legacy.session_params(decoded, "1", may_ask=True)["capabilities"] == decoded["capabilities"]
        assert legacy.session_params(decoded, "1", may_ask=False)["capabilities"] == {}

    @pytest.mark.parametrize(
        "reply",
        [
            b'{"error":{"code":1,"message":"no"}}',
            b'{"error":{"code":1}}',
            b'{"error":7}',
            b'{"result":7}',
            b'{"result":{}}',
            b'{"result":{"protocolVersion":"2099-01-01"}}',
            b"{}",
        ],
    )
    def test_bad_answers(self, reply: bytes) -> None:
        """An answer that is no InitializeResult of a known revision is a failed handshake."""
        with pytest.raises(HandshakeFailed):
            legacy.check_hello(jsonrpc.decode(reply))

    def test_the_answer_goes_on(self) -> None:
        """A client gets the server's own answer in its own revision, every other byte as it came."""
        hello = jsonrpc.decode(
            b'{"protocolVersion":"2025-11-25","capabilities":{"tools":{"x":1.10},"tasks":{}},"instructions":"i","_meta":{"a":1}}'
        )
        shared = bytes(legacy.hello_for(hello, "2025-03-26"))
        assert b"1.10" in shared
        assert json.loads(shared) == {
            "protocolVersion": "2025-03-26",
            "capabilities": {"tools": {"x": 1.1}, "tasks": {}},
            "instructions": "i",
            "_meta": {"a": 1},
        }
        assert b"2025-11-25" in jsonrpc.encode(hello)

    def test_lists_that_change(self) -> None:
        """The announced lists are those whose changes the server declared."""
        hello = jsonrpc.decode(
            b'{"capabilities":{"tools":{"listChanged":true},"prompts":{"listChanged":1},"resources":7}}'
        )
        assert legacy.changing_lists(hello) == ["notifications/tools/list_changed"]
        assert legacy.changing_lists({}) == []

    @pytest.mark.parametrize("declared", ["{}", '{"subscribe":1}', '{"subscribe":false}', "7"])
    def test_subscriptions(self, declared: str) -> None:
        """Only a server that has declared it takes subscriptions to resources."""
        assert legacy.has_subscriptions(jsonrpc.decode(b'{"capabilities":{"resources":{"subscribe":true}}}'))
        hello = jsonrpc.decode(f'{{"capabilities":{{"resources":{declared}}}}}'.encode())
        assert not legacy.has_subscriptions(hello)

    def test_odd_capabilities(self) -> None:
        """Capabilities that are no object count as none, and are passed on as they are."""
        hello = jsonrpc.decode(b'{"protocolVersion":"2025-11-25","capabilities":7}')
        assert legacy.capabilities(hello) == {}
        assert json.loads(bytes(legacy.hello_for(hello, "2025-11-25")))["capabilities"] == 7


class RevisionTests:
    """The revisions by name."""

    def test_names(self) -> None:
        """Known ones are answered with themselves, all others with our latest."""
        assert [negotiated(version) for version in LEGACY] == list(LEGACY)
        assert negotiated("2026-07-28") == negotiated(None) == LEGACY[-1]
        assert is_legacy(b"2024-11-05")
        assert not is_legacy(b"2026-07-28")


class EssentialParamsTests:
    """The essential part of a client's long ``initialize`` parameters."""

    @pytest.mark.parametrize("bulky", ["experimental", "extensions"])
    def test_extensions_go_first(self, bulky: str) -> None:
        """The parameters for a child of the session's own stay; long extensions are dropped."""
        offers = {"roots": {"listChanged": True}, "elicitation": {"url": {}}}
        info = {"name": "c", "version": "1", "icons": ["x" * 5000], "title": 5}
        params = {
            "protocolVersion": "2025-06-18",
            "clientInfo": info,
            "capabilities": {**offers, bulky: {"pad": "x" * 5000}},
            "_meta": {"pad": "x" * 5000},
        }
        kept = json.loads(legacy.essential_params({k: jsonrpc.raw(v) for k, v in params.items()}, 1000))
        assert kept == {
            "protocolVersion": "2025-06-18",
            "clientInfo": {"name": "c", "version": "1"},
            "capabilities": offers,
        }

    def test_capabilities_that_are_bulky(self) -> None:
        """A long capability is kept as a bare offer; an unknown one is not."""
        offers = {"roots": {"pad": "x" * 5000}, "strange": {"pad": "x" * 5000}}
        params = {"capabilities": offers, "clientInfo": {"name": "n" * 5000}}
        kept = legacy.essential_params({k: jsonrpc.raw(v) for k, v in params.items()}, 1000)
        assert json.loads(kept)["capabilities"] == {"roots": {}}
        assert len(kept) < 1000

    def test_strangers_that_are_bulky(self) -> None:
        """Long unknown capabilities are dropped before the details of known ones."""
        offers = {"roots": {"listChanged": True}, "strange": {"pad": "x" * 5000}}
        kept = legacy.essential_params({"capabilities": jsonrpc.raw(offers)}, 1000)
        assert json.loads(kept)["capabilities"] == {"roots": {"listChanged": True}}

    @pytest.mark.parametrize("value", [5, None, ["x"]])
    def test_nonsense(self, value: Any) -> None:
        """Members of another kind are left out."""
        params = {"capabilities": value, "clientInfo": value, "protocolVersion": value, "pad": "x" * 2000}
        kept = json.loads(legacy.essential_params({k: jsonrpc.raw(v) for k, v in params.items()}, 1000))
        assert (kept["capabilities"], kept["clientInfo"]) == ({}, {})
