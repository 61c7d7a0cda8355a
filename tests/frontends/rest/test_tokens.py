"""Tokens are managed by whoever manages the gateway, and by nobody else."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.errors import ConfigError
from mcpgateway.policy.agent_tokens import PREFIX
from mcpgateway.system.token_files import TokenFiles
from tests.support.gateway_in_memory import Client, MemoryGateway

ADMIN = {"Authorization": "Bearer admin-token"}

STRONG = "0123456789-abcdefghijklmnopqrstuvwxyz_ABCDEF"


@pytest.fixture
def gateway(tmp_path: Path) -> MemoryGateway:
    """A gateway with a home."""
    made = MemoryGateway()
    made.home = str(tmp_path)
    return made


@pytest.fixture
def client(gateway: MemoryGateway) -> Client:
    """An administrator."""
    return gateway.client("x", **ADMIN)


def ask(client: Client, method: str, path: str, **said: Any) -> Any:
    """The answer to an administrator."""
    return client.ask(said or b"", method, f"/api/v1/tokens{path}")


class AccessTests:
    """Callers that may manage tokens."""

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", ""), ("POST", ""), ("POST", "/rotate"), ("PUT", "/required"), ("DELETE", "/a")],
    )
    def test_administrators_only(self, gateway: MemoryGateway, method: str, path: str) -> None:
        """Without a token, with the user's, and with an agent's, nothing can be managed."""
        made = ask(gateway.client("x", **ADMIN), "POST", "", name="a").json["token"]
        for header in ({}, {"Authorization": "Bearer bearer-token"}, {"Authorization": f"Bearer {made}"}):
            assert ask(gateway.client("x", **header), method, path).status in (401, 403)
        assert ask(gateway.client("x", **ADMIN), "GET", "").status == 200


class AgentTests:
    """Tokens of agents."""

    def test_a_tier(self, client: Client) -> None:
        """A token may be for tools of a tier; a read-only one is of the lowest, one of the highest unlimited."""
        tiers = {"a": {}, "b": {"tier": "write"}, "c": {"read_only": True}, "d": {"tier": "destructive"}}
        made = {name: ask(client, "POST", "", name=name, **more).json["tier"] for name, more in tiers.items()}
        assert made == {"a": "destructive", "b": "write", "c": "read", "d": "destructive"}
        assert ask(client, "POST", "", name="e", tier="most").status == 400

    def test_from_beginning_to_end(self, gateway: MemoryGateway, client: Client) -> None:
        """A token is shown once, kept as a digest, good until it is revoked, and then no more."""
        answer = ask(client, "POST", "", name="build", servers=["shared"], read_only=True, expires_in=60)
        assert answer.status == 201
        token = answer.json["token"]
        assert token.startswith(PREFIX)
        assert len(token) > 40
        path = Path(gateway.home, "tokens.json")
        assert path.stat().st_mode & 0o777 == 0o600
        assert token not in path.read_text()
        assert token not in json.dumps(ask(client, "GET", "").json)
        assert TokenFiles(gateway.home).agents() == gateway.bearers.agents
        agent = gateway.client("shared", Authorization=f"Bearer {token}")
        (unused,) = ask(client, "GET", "").json["tokens"]
        assert (unused["calls"], unused["last_used_at"], unused["last_from"]) == (0, None, None)
        assert agent.initialize().status == 200
        (used,) = ask(client, "GET", "").json["tokens"]
        assert used["last_used_at"].endswith("Z")
        assert used["last_from"] == "127.0.0.1"
        assert ask(client, "DELETE", f"/{answer.json['id']}").json == {
            "revoked": answer.json["id"],
            "name": "build",
        }
        assert agent.ask(b"", "DELETE").status == 401
        assert ask(client, "GET", "").json == {"required": False, "tokens": []}
        assert TokenFiles(gateway.home).agents() == ()
        assert ask(client, "DELETE", "/build").status == 404

    @pytest.mark.parametrize("how", ["revoked", "over"])
    def test_streams_end(self, gateway: MemoryGateway, client: Client, how: str) -> None:
        """The stream of an agent is cut off when its token is revoked, or its time is over."""
        token = ask(client, "POST", "", name="build", expires_in=60).json["token"]
        agent = gateway.client("shared", Authorization=f"Bearer {token}")
        agent.initialize(protocolVersion="2025-06-18")
        ears = gateway.listen(agent)
        other = gateway.listen(gateway.session())
        assert not ears.transport.is_aborted
        if how == "revoked":
            ask(client, "DELETE", "/build")
        else:
            gateway.clock.advance(60)
            gateway.bearers.tick()
        assert ears.transport.is_aborted
        assert not other.transport.is_aborted

    @pytest.mark.parametrize(
        "said",
        [
            {},
            {"name": ""},
            {"name": 5},
            {"name": "a\nb"},
            {"name": "a", "servers": "shared"},
            {"name": "a", "servers": [""]},
            {"name": "a", "servers": [1]},
            {"name": "a", "tools": ["x" * 300]},
            {"name": "a", "tools": ["x"] * 200},
            {"name": "a", "read_only": "yes"},
            {"name": "a", "expires_in": -1},
            {"name": "a", "expires_in": True},
            {"name": "a", "expires_in": 1e300},
            {"name": "a", "expires_in": 10**400},
            {"name": "a", "readonly": True},
        ],
    )
    def test_nonsense(self, gateway: MemoryGateway, client: Client, said: dict[str, Any]) -> None:
        """A limit that cannot be understood is an error, and never no limit."""
        assert client.ask(said, "POST", "/api/v1/tokens").status == 400
        assert gateway.bearers.agents == ()

    def test_one_name_once(self, client: Client) -> None:
        """No two tokens have one name."""
        assert ask(client, "POST", "", name="a").status == 201
        assert ask(client, "POST", "", name="a").status == 400

    def test_cannot_be_kept(self, gateway: MemoryGateway, client: Client) -> None:
        """A token whose change cannot be kept is neither made nor revoked."""
        ask(client, "POST", "", name="a")
        home, gateway.home = gateway.home, gateway.home + "/gone"
        fresh = gateway.client("x", **ADMIN)
        issuing = gateway.parts().issuing()
        with pytest.raises(Exception, match="cannot be written"):
            asyncio.run(issuing.create("b"))
        with pytest.raises(Exception, match="cannot be written"):
            asyncio.run(issuing.revoke("a"))
        assert [each.name for each in gateway.bearers.agents] == ["a"]
        assert fresh is not None
        gateway.home = home


class OwnTests:
    """The gateway's own tokens."""

    def test_rotated(self, gateway: MemoryGateway, client: Client) -> None:
        """A new one is good at once, in a file for its owner alone, and the former is good no more."""
        assert ask(client, "POST", "/rotate", which=["admin", "auth"]).json == {"rotated": ["admin", "auth"]}
        assert ask(client, "GET", "").status == 401
        own = Path(gateway.home, "admin.token")
        assert own.stat().st_mode & 0o777 == 0o600
        again = gateway.client("x", Authorization=f"Bearer {own.read_text().strip()}")
        assert ask(again, "GET", "").status == 200
        assert ask(again, "POST", "/rotate", which=["other"]).status == 400

    def test_readers_are_cut_off(self, gateway: MemoryGateway, client: Client) -> None:
        """A reader by a token that is good no more does not go on."""
        reader = gateway.client("x", Authorization="Bearer bearer-token")
        other = gateway.client("x")
        for each in (reader, other):
            assert each.ask(b"", "GET", "/api/v1/events").status == 200
        assert ask(client, "POST", "/rotate").status == 200
        assert reader.transport.is_aborted
        assert not other.transport.is_aborted

    def test_the_former_one(self, gateway: MemoryGateway, client: Client) -> None:
        """A client that sends the former token is refused, on this machine too; without one it is served there."""
        old = gateway.client("shared", Authorization="Bearer bearer-token")
        old.initialize()
        assert ask(client, "POST", "/rotate").json == {"rotated": ["auth"]}
        assert old.initialize().status == 401
        assert gateway.client("shared").initialize().status == 200


class GivenTests:
    """Tokens that the environment gives, as in a container."""

    def test_are_the_gateways_own(self, tmp_path: Path) -> None:
        """Given tokens count in place of those of the files, which hold the same from then on, for their
        owner alone.
        """
        files = TokenFiles(str(tmp_path))
        _, admin = files.own()
        given = TokenFiles(str(tmp_path), {"MCP_GATEWAY_AUTH_TOKEN": STRONG, "MCP_GATEWAY_ADMIN_TOKEN": ""})
        assert given.own() == files.own() == (STRONG, admin)
        assert (tmp_path / "auth.token").stat().st_mode & 0o777 == 0o600
        assert STRONG not in repr(given)

    @pytest.mark.parametrize("said", ["short", STRONG[:42], STRONG + "!", STRONG + "\n", PREFIX + STRONG])
    def test_weak_ones(self, tmp_path: Path, said: str) -> None:
        """A given token that could be guessed, or is an agent's, is refused at start without being shown."""
        with pytest.raises(ConfigError, match="MCPGATEWAY_ADMIN_TOKEN: expected at least 43") as caught:
            TokenFiles(str(tmp_path), {"MCP_GATEWAY_ADMIN_TOKEN": said}).own()
        assert said not in str(caught.value)

    def test_are_not_rotated(self, gateway: MemoryGateway, client: Client) -> None:
        """A given token would be good again after the next start, so it is only changed where it is given."""
        gateway.environ["MCP_GATEWAY_AUTH_TOKEN"] = STRONG
        refused = ask(client, "POST", "/rotate", which=["admin", "auth"])
        assert refused.status == 400
        assert refused.json["error"] == "MCPGATEWAY_AUTH_TOKEN says what the auth token is"
        assert ask(client, "GET", "").status == 200  # the other has not been changed, either


class FileTests:
    """The file of agents' tokens."""

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"format":1}', '{"format":9,"tokens":[]}'])
    def test_corrupt(self, tmp_path: Path, text: str) -> None:
        """A file that is not whole refuses the start, and says which and what to do."""
        path = tmp_path / "tokens.json"
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(ConfigError, match=r"tokens.json: .*; put it right, or remove it"):
            TokenFiles(str(tmp_path)).agents()

    def test_not_ours(self, tmp_path: Path) -> None:
        """A link, a directory, and a file that others may write to are none."""
        path = tmp_path / "tokens.json"
        TokenFiles(str(tmp_path)).keep(())
        path.chmod(0o622)
        with pytest.raises(ConfigError, match="others may write to it"):
            TokenFiles(str(tmp_path)).agents()
        path.chmod(0o600)
        assert TokenFiles(str(tmp_path)).agents() == ()
        path.rename(tmp_path / "real")
        os.symlink(tmp_path / "real", path)
        with pytest.raises(ConfigError, match="is a symbolic link"):
            TokenFiles(str(tmp_path)).agents()
