"""The control plane's pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from mcpgateway.config.model import ClientFile
from mcpgateway.errors import ClientFilesFailed
from mcpgateway.frontends.http.peers import HttpPeer
from mcpgateway.interfaces import Returned
from mcpgateway.policy.access import AccessPolicy, Reach
from tests.support.gateway_in_memory import Answer, MemoryGateway


class SettlingTests:
    """Configuration that is saved and not read yet."""

    @pytest.mark.parametrize("is_read", [True, False])
    def test_waited_for(self, *, is_read: bool) -> None:
        """An answer of the control plane waits for it, for as long as it is worth waiting; health does not wait."""
        gateway = MemoryGateway()
        settled: Deferred[None] = Deferred()
        gateway.root.settle = lambda: settled
        client = gateway.client()
        client.send(b"", "GET", "/api/v1/servers")
        assert client.heard is None
        assert gateway.client().ask(b"", "GET", "/health").status == 200
        if is_read:
            gateway.serve()
            settled.callback(None)
            assert client.heard.json == []
        else:
            settled.errback(Failure(TimeoutError()))
            assert len(client.heard.json) > 0


class CallbackTests:
    """The page that a browser comes back to from an authorization server."""

    def test_a_stranger(self) -> None:
        """An answer that nobody waits for is told so, on a page that gives nothing away."""
        answer = MemoryGateway().client().ask(b"", "GET", "/oauth/callback?state=s&code=c")
        assert answer.status == 400
        assert b"belongs to no question" in answer.body
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"

    def test_success(self) -> None:
        """The page names the server, and what it is called cannot be more than text."""
        gateway = MemoryGateway()
        gateway.sign_ins.finds.append(Returned("<b>remote</b>"))
        answer = gateway.client().ask(b"", "GET", "/oauth/callback?state=s&code=c%20d")
        assert answer.status == 200
        assert b"&lt;b&gt;remote&lt;/b&gt;" in answer.body
        assert gateway.sign_ins.asked == [{"state": "s", "code": "c d"}]

    def test_for_somebody(self) -> None:
        """Where it is for somebody who is told apart by a token, the page says for whom, and its user agrees or not."""
        gateway = MemoryGateway()
        gateway.sign_ins.finds += [
            Returned("remote", "agent <ann>", "k+1"),
            Returned("remote", "agent <ann>"),
        ]
        client = gateway.client()
        asking = client.ask(b"", "GET", "/oauth/callback?state=s&code=c")
        assert b"agent &lt;ann&gt;" in asking.body
        assert b'name="key" value="k+1"' in asking.body
        assert b"may use remote now" not in asking.body
        form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://localhost:9100"}
        agreed = client.ask(b"key=k%2B1", "POST", "/oauth/callback", **form)
        assert agreed.status == 200
        assert b"may use remote now" in agreed.body
        assert gateway.sign_ins.asked[1] == "k+1"

    @pytest.mark.parametrize("origin", ["http://evil.example", "null"])
    def test_agreed_elsewhere(self, origin: str) -> None:
        """No other page agrees in the place of a user."""
        gateway = MemoryGateway()
        answer = gateway.client().ask(b"key=k", "POST", "/oauth/callback", Origin=origin)
        assert answer.status == 403
        assert gateway.sign_ins.asked == []

    def test_who_the_gateway_is(self) -> None:
        """Without a public address there is nothing that an authorization server could fetch."""
        answer = MemoryGateway().client().ask(b"", "GET", "/oauth/client.json")
        assert answer.status == 404
        assert "public_url" in answer.json["hint"]

    @pytest.mark.parametrize(
        ("reach", "is_public", "status"),
        [
            (Reach.LOOPBACK, False, 400),
            (Reach.OTHER_USER, False, 403),
            (Reach.REMOTE, False, 401),
            (Reach.REMOTE, True, 400),
            (Reach.OTHER_USER, True, 403),
        ],
    )
    def test_without_a_token(self, reach: Reach, status: int, *, is_public: bool) -> None:
        """A browser of this user's comes back although clients need a token, which it cannot have.

        From another machine it does where the gateway has a public address.
        """
        policy = AccessPolicy(bearer_required=True, allow_remote=True, is_public=is_public)
        gateway = MemoryGateway(policy=policy)
        gateway.factory.shared.introduce = lambda transport: HttpPeer(transport.getPeer(), reach)
        client = gateway.client()
        assert client.ask(b"", "GET", "/oauth/callback?state=s&code=c").status == status
        assert client.ask(b"", "GET", "/api/v1/servers").status in (401, 403)


FILE = ClientFile(
    "claude-code",
    "Claude Code",
    "/home/me/.claude.json",
    "http",
    servers=("a", "b"),
    remotes=2,
    unsettled=("x",),
)
TOKEN = {"Authorization": "Bearer bearer-token"}
ADMIN = {"Authorization": "Bearer admin-token"}


class ClientsTests:
    """Requests about clients' own files."""

    def test_listed(self) -> None:
        """The files that lead here are listed, without what is not as it was left in them."""
        gateway = gateway_with(FILE)
        found = said(gateway.client().ask(b"", "GET", "/clients"))
        assert [each["path"] for each in found["clients"]] == ["/home/me/.claude.json"]
        assert "unsettled" not in found["clients"][0]

    def test_health(self) -> None:
        """The gateway's health says which clients lead here and that there is no endpoint for all servers."""
        health = said(gateway_with(FILE).client().ask(b"", "GET", "/health"))
        assert health["clients"] == [
            {
                "name": "claude-code",
                "path": "/home/me/.claude.json",
                "mode": "http",
                "servers": ["a", "b"],
                "suspended": "",
            }
        ]
        assert (health["aggregate"], health["disabled"]) == (True, False)

    def test_immorterm(self) -> None:
        """S000's body lists the clients that lead here now."""
        gateway = gateway_with(FILE, replace(FILE, path="/other", suspended="disabled"))
        health = said(gateway.client().ask(b"", "GET", "/health?shape=immorterm"))
        assert [each["configPath"] for each in health["clients"]] == ["/home/me/.claude.json"]

    def test_detect(self) -> None:
        """The clients on this machine are found by the helper program."""
        gateway = gateway_with()
        found = [{"tool": "cursor", "configPath": "/home/me/.cursor/mcp.json"}]
        gateway.answers_for_helper = lambda *_: succeed({"detected": found})
        (client,) = said(gateway.client().ask(b"", "GET", "/clients/detect"))["detected"]
        assert client == {**found[0], "name": "cursor"}
        assert gateway.helper_runs == [("detect",)]

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/projects/register", {"configPath": "/x/.mcp.json"}),
            ("/clients/register", {"tool": "cursor"}),
            ("/api/gateway/disable", {}),
            ("/api/gateway/enable", {}),
        ],
    )
    def test_needs_token(self, path: str, body: dict[str, str]) -> None:
        """A request without the token changes no file."""
        gateway = gateway_with()
        assert gateway.client().ask(body, path=path).status == 401
        assert gateway.helper_runs == []

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/projects/register", {"configPath": "/x/.mcp.json"}),
            ("/clients/register", {"tool": "custom", "configPath": "/x/y.json"}),
            ("/clients/register", {"tool": "cursor"}),
        ],
    )
    def test_says_what_is_run(self, path: str, body: dict[str, str]) -> None:
        """A client's file names programs to run, so its sender is an administrator, and on this machine."""
        gateway = gateway_with(policy=AccessPolicy(allow_remote=True))
        assert gateway.client(**TOKEN).ask(body, path=path).status == 401
        gateway.factory.shared.introduce = lambda transport: HttpPeer(transport.getPeer(), Reach.REMOTE)
        answer = gateway.client(**ADMIN).ask(body, path=path)
        assert (answer.status, "remote_commands" in said(answer)["error"]) == (403, True)
        assert gateway.helper_runs == []

    def test_register_project(self, tmp_path: Path) -> None:
        """A project's file is led here, and what is in it by then is told."""
        file = tmp_path / ".mcp.json"
        file.write_text("{}")
        gateway = gateway_with(replace(FILE, path=str(file)))
        gateway.answers_for_helper = lambda *_: succeed({"files": [{"error": ""}]})
        answer = gateway.client(**ADMIN).ask({"configPath": str(file)}, path="/projects/register")
        assert answer.status == 200
        assert said(answer) == {"registered": ["a", "b"], "passthrough": 2}
        assert gateway.helper_runs == [("apply", "--yes", "--mode", "http", "--file", str(file))]

    def test_no_file_of_a_project(self, tmp_path: Path) -> None:
        """A file that is not there, and a directory, are mistakes of the caller's, and it is said what to name."""
        gateway = gateway_with()
        for path in (tmp_path / ".mcp.json", tmp_path):
            answer = gateway.client(**ADMIN).ask({"configPath": str(path)}, path="/projects/register")
            assert answer.status == 400
            assert str(path) in said(answer)["error"]
            assert ".mcp.json" in said(answer)["hint"]
        assert gateway.helper_runs == []

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/projects/register", {}),
            ("/projects/register", {"configPath": "--home"}),
            ("/projects/register", {"configPath": "relative.json"}),
            ("/projects/register", {"configPath": "/a\0b"}),
            ("/projects/register", {"configPath": ["/a"]}),
            ("/projects/register", b"no JSON"),
            ("/projects/register", []),
            ("/clients/register", {}),
            ("/clients/register", {"tool": "aider"}),
            ("/clients/register", {"tool": "--all"}),
            ("/clients/register", {"tool": "custom"}),
            ("/clients/register", {"tool": "cursor", "configPath": 1}),
        ],
    )
    def test_bad_requests(self, path: str, body: object) -> None:
        """A request that cannot be meant hears what was expected, and reaches no command line."""
        gateway = gateway_with()
        answer = gateway.client(**ADMIN).ask(body, path=path)
        assert answer.status == 400
        assert "expected" in said(answer)["error"]
        assert gateway.helper_runs == []

    def test_register_client(self) -> None:
        """A client is known by its own name and by S000's."""
        gateway = gateway_with(FILE)
        gateway.answers_for_helper = lambda *_: succeed({})
        answer = gateway.client(**ADMIN).ask({"tool": "claude"}, path="/clients/register")
        found = said(answer)
        assert found == {"tool": "claude", "registered": ["a", "b"], "configPath": "/home/me/.claude.json"}
        assert gateway.helper_runs == [("apply", "--yes", "--mode", "http", "--client", "claude-code")]

    @pytest.mark.parametrize("report", [None, {"files": [{"error": "the file is not valid JSON"}]}])
    def test_failure(self, tmp_path: Path, report: object) -> None:
        """A failed change is told in the helper's words, with a remedy."""
        gateway = gateway_with()
        why = ClientFilesFailed("the file is not valid JSON", "mend it")
        gateway.answers_for_helper = lambda *_: fail(why) if report is None else succeed(report)
        file = tmp_path / ".mcp.json"
        file.write_text("{")
        answer = gateway.client(**ADMIN).ask({"configPath": str(file)}, path="/projects/register")
        assert answer.status == 500
        found = said(answer)
        assert found["error"] == "the file is not valid JSON"
        assert found["hint"] == ("mend it" if report is None else ClientFilesFailed.remedy)


class SwitchTests:
    """The soft switch of the whole gateway."""

    def test_off_and_on(self) -> None:
        """While it is off, servers are refused in S000's words, and the rest is answered; then all is as before."""
        gateway = gateway_with()
        gateway.answers_for_helper = lambda *_: succeed({})
        operator, client = gateway.client(**TOKEN), gateway.session()
        found = said(operator.ask({}, path="/api/gateway/disable"))
        assert found == {"ok": True, "status": "disabled"}
        refused = client.ask({"jsonrpc": "2.0", "id": 5, "method": "ping"})
        assert refused.status == 503
        assert json.loads(refused.body)["error"] == {"code": -32603, "message": "Gateway is disabled"}
        assert said(operator.ask(b"", "GET", "/health"))["disabled"] is True
        assert said(operator.ask(b"", "GET", "/api/gateway/config"))["disabled"] is True
        found = said(operator.ask({}, path="/api/gateway/enable"))
        assert found == {"ok": True, "status": "enabled"}
        assert client.ask({"jsonrpc": "2.0", "id": 6, "method": "ping"}).status == 200
        assert gateway.helper_runs == [("disable",), ("enable",)]

    def test_not_done(self) -> None:
        """If clients cannot be given their own entries back, they go on being served."""
        gateway = gateway_with()
        assert gateway.client(**TOKEN).ask({}, path="/api/gateway/disable").status == 500
        assert gateway.client().initialize(protocolVersion="2025-06-18").status == 200

    def test_config(self) -> None:
        """S000's view of it."""
        gateway = gateway_with(FILE)
        found = said(gateway.client().ask(b"", "GET", "/api/gateway/config"))
        assert found == {"port": 9100, "optedOut": [], "disabled": False, "managedServers": ["a", "b"]}


def gateway_with(*files: ClientFile, policy: AccessPolicy | None = None) -> MemoryGateway:
    """A gateway to which these files lead."""
    gateway = MemoryGateway(policy=policy)
    gateway.settings = evolve(gateway.settings, adopted=files)
    return gateway


def said(answer: Answer) -> Any:
    """The answer of the control plane as a value; Klein's answers are chunked."""
    is_chunked = answer.headers.get("transfer-encoding") == "chunked"
    return json.loads(answer.body.split(b"\r\n")[1] if is_chunked else answer.body)
