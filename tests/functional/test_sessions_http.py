"""Sessions, health, owners and refusals, over HTTP."""

import asyncio
import subprocess
import sys

import pytest

from tests.support.gateway import Gateway, eventually, server
from tests.support.http_client import REVISION, Client, Connection, message, tool_call
from tests.support.real_servers import fixture

pytestmark = pytest.mark.functional

SERVERS = {"fix": server(fixture()), "own": server(fixture(), share="session")}
PREFIX = "/fix/mcp"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway with a shared server and one with a child for each session; it looks for the dead each second."""
    directory = tmp_path_factory.mktemp("gateway")
    with Gateway(directory, SERVERS, settings={"limits": {"reap": "1s"}}) as running:
        yield running


@pytest.fixture
def owner():
    """A process that sessions can belong to."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def asked(gateway, method, path, body=b"", **headers):
    """Send a request on a connection of its own; a header without a value is left out."""

    async def work():
        connection = await Connection.open(gateway.url)
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await connection.ask(method, path, body, more)
        connection.close()
        return answer

    return asyncio.run(work())


def opened(gateway, name="own", info=None, **headers):
    """A session with a child that has been called."""

    async def work():
        client = await Client.open(gateway.url, name, info, **headers)
        pid = (await client.value("pid"))["pid"]
        client.close()
        return client.id, pid

    return asyncio.run(work())


def called(gateway, name, session):
    """The status of a call in a session."""
    return asked(gateway, "POST", f"/{name}/mcp", tool_call(1, "echo", {"text": "x"}), Mcp_Session_Id=session)


def succeeded(answer):
    """Return whether a call was served; one that comes while its session is being parked is refused with that
    reason.
    """
    return answer.status == 200 and "result" in answer.json


class DeleteTests:
    """Ending sessions."""

    def test_by_its_own_endpoint(self, gateway):
        """``DELETE /:server/mcp`` ends the session and its child; afterwards its id is unknown."""
        session, pid = opened(gateway)
        assert called(gateway, "own", session).status == 200
        answer = asked(gateway, "DELETE", "/own/mcp", Mcp_Session_Id=session)
        assert (answer.status, answer.json) == (200, {"ok": True})
        eventually(lambda: pid not in gateway.children(), "its child ends")
        for answer in (
            called(gateway, "own", session),
            asked(gateway, "DELETE", "/own/mcp", Mcp_Session_Id=session),
        ):
            assert answer.status == 404
            assert answer.json["error"] == {"code": -32001, "message": "Session not found"}

    def test_by_its_own_endpoint_without_an_id(self, gateway):
        """Without the header there is nothing to end, which is no error; no other session ends."""
        session, pid = opened(gateway)
        answer = asked(gateway, "DELETE", "/own/mcp")
        assert (answer.status, answer.json) == (200, {"ok": True})
        assert called(gateway, "own", session).status == 200
        assert pid in gateway.children()

    def test_a_session_of_a_shared_server(self, gateway):
        """Only the session ends; the child is the others' too."""
        (session, pid), (other, same) = opened(gateway, "fix"), opened(gateway, "fix")
        assert pid == same
        assert asked(gateway, "DELETE", PREFIX, Mcp_Session_Id=session).json == {"ok": True}
        assert called(gateway, "fix", session).status == 404
        assert called(gateway, "fix", other).status == 200

    def test_a_session_of_another_server(self, gateway):
        """An id is good for its own server only."""
        session, _ = opened(gateway, "fix")
        assert asked(gateway, "DELETE", "/own/mcp", Mcp_Session_Id=session).status == 404
        assert called(gateway, "fix", session).status == 200

    def test_by_id(self, gateway):
        """``DELETE /sessions/:id`` tells whether a child was stopped; an unknown id ends nothing."""
        session, pid = opened(gateway)
        shared, _ = opened(gateway, "fix")
        assert asked(gateway, "DELETE", f"/sessions/{session}").json == {"ok": True, "killed": 1}
        assert asked(gateway, "DELETE", f"/sessions/{session}").json == {"ok": True, "killed": 0}
        assert asked(gateway, "DELETE", f"/sessions/{shared}").json == {"ok": True, "killed": 0}
        assert called(gateway, "fix", shared).status == 404
        eventually(lambda: pid not in gateway.children(), "its child ends")

    def test_calls_under_way_are_told(self, gateway):
        """A call of a session that ends is answered, and its child is told."""

        async def work():
            client = await Client.open(gateway.url, "fix")
            held = await client.begin(tool_call(4, "mute"))
            await asyncio.to_thread(eventually, lambda: gateway.backend("fix")["calls"], "it is running")
            assert (await client.ask("DELETE")).status == 200
            answer = await held.answer()
            held.close()
            client.close()
            return answer

        answer = asyncio.run(work())
        assert answer.status == 404
        assert (answer.json["id"], answer.json["error"]["message"]) == (4, "Session has ended")

    @pytest.mark.parametrize("said", ["header", "body", "both"])
    def test_by_the_owners_pid(self, gateway, owner, said):
        """``DELETE /sessions/by-pid/:pid`` ends what X-Client-Pid or clientInfo.pid gave to that process."""
        headers = {} if said == "body" else {"X_Client_Pid": str(owner.pid)}
        info = {"header": {}, "body": {"pid": owner.pid}, "both": {"pid": 1}}[said]
        own = [opened(gateway, "own", info, **headers) for _ in range(2)]
        shared, _ = opened(gateway, "fix", info, **headers)
        stranger, _ = opened(gateway, "fix")
        answer = asked(gateway, "DELETE", f"/sessions/by-pid/{owner.pid}")
        assert (answer.status, answer.json) == (200, {"ok": True, "killed": 2, "sessions": 3})
        assert called(gateway, "fix", shared).status == 404
        assert called(gateway, "fix", stranger).status == 200
        eventually(lambda: not {pid for _, pid in own} & set(gateway.children()), "their children end")
        again = asked(gateway, "DELETE", f"/sessions/by-pid/{owner.pid}")
        assert again.json == {"ok": True, "killed": 0, "sessions": 0}

    @pytest.mark.parametrize("pid", ["0", "-1", "x", "1.5", "99999999999999", "%31"])
    def test_by_what_is_no_pid(self, gateway, pid):
        """A path with no process id is refused; an escaped id is read."""
        answer = asked(gateway, "DELETE", f"/sessions/by-pid/{pid}")
        if pid == "%31":
            assert answer.status == 200
        else:
            assert (answer.status, answer.json["error"]) == (400, "Invalid PID")

    @pytest.mark.parametrize("pid", ["0", "x", "-4", "9" * 40])
    def test_a_wrong_owner_fails_nothing(self, gateway, pid):
        """An initialize with a nonsensical owner is served."""
        session, _ = opened(gateway, "fix", {"pid": pid}, X_Client_Pid=pid)
        assert called(gateway, "fix", session).status == 200


class OwnerTests:
    """Owners that die."""

    def test_their_sessions_are_put_aside(self, tmp_path, owner):
        """The sessions of a process that has exited give back what they hold; their ids stay good until they end."""
        with Gateway(tmp_path, SERVERS, settings={"limits": {"reap": "1s"}}) as gateway:
            session, pid = opened(gateway, "own", X_Client_Pid=str(owner.pid))
            shared, _ = opened(gateway, "fix", {"pid": owner.pid})
            stranger, _ = opened(gateway, "own")
            owner.kill()
            owner.wait()
            eventually(lambda: pid not in gateway.children(), "the child of the dead one's session ends")
            eventually(lambda: gateway.health()["sessions"] == 1, "only the stranger's counts")
            for name, each in (("own", session), ("fix", shared)):
                eventually(lambda n=name, e=each: succeeded(called(gateway, n, e)), "its id is still good")
                assert asked(gateway, "DELETE", f"/{name}/mcp", Mcp_Session_Id=each).status == 200
                assert called(gateway, name, each).status == 404
            assert called(gateway, "own", stranger).status == 200

    def test_living_owners_keep_theirs(self, gateway, owner):
        """The reaper has looked several times, and left what belongs to a living process."""
        session, _ = opened(gateway, "own", X_Client_Pid=str(owner.pid))
        before = gateway.health()["uptime"]
        eventually(lambda: gateway.health()["uptime"] > before + 2, "time passes")
        assert called(gateway, "own", session).status == 200


class HealthTests:
    """``GET /health``."""

    def test_the_numbers(self, gateway):
        """The body of health is one for all who look: the seeds' numbers, and every server."""
        opened(gateway, "fix")
        body = gateway.health()
        assert (body["status"], body["servers"], body["port"], body["pid"]) == (
            "ok",
            2,
            gateway.port,
            gateway.pid,
        )
        assert body["running"] in {1, 2}
        assert body["auth"] == "loopback-trusted"
        assert 10 < body["memory_mb"] < 200
        fix = gateway.backend("fix")
        assert (fix["status"], fix["share"], fix["transport"], len(fix["pids"])) == (
            "running",
            "global",
            "stdio",
            1,
        )
        assert fix["sessions"] > 0
        assert fix["requests"] > 0
        assert gateway.backend("own")["share"] == "session"

    def test_the_first_seeds_shape(self, gateway):
        """``?shape=immorterm`` gives the body that its scripts read."""
        session, _ = opened(gateway, "own")
        body = gateway.health("?shape=immorterm")
        numbers = {"status", "version", "uptime", "port", "servers", "totalChildren", "memoryMB"}
        assert set(body) == numbers  # and the clients that are led here, of whom there are none
        servers = {each["name"]: each for each in body["servers"]}
        assert {name: each["mode"] for name, each in servers.items()} == {
            "fix": "stateless",
            "own": "stateful",
        }
        assert servers["own"]["activeChildren"] >= 1
        assert body["totalChildren"] == sum(each["activeChildren"] for each in body["servers"])
        asked(gateway, "DELETE", f"/sessions/{session}")

    def test_one_word(self, gateway):
        """``/healthz`` is for supervisors."""
        assert asked(gateway, "GET", "/healthz").json == {"status": "ok"}


class RefusalTests:
    """Requests that are not served."""

    @pytest.mark.parametrize(
        "path",
        [
            "/nothing",
            "/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource/fix/mcp",
            "/.well-known/oauth-authorization-server",
            "/.well-known/openid-configuration",
            "/register",
            "/fix/mcp/more",
            "/fix",
            "/sessions",
            "/health/",
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    def test_unknown_routes(self, gateway, method, path):
        """A route that is not declared is 404, in JSON; clients that look for an authorization server find none."""
        answer = asked(gateway, method, path, b"{}" if method == "POST" else b"")
        assert (answer.status, answer.json["error"]) == (404, "Not found")
        assert answer.headers["content-type"] == "application/json"

    @pytest.mark.parametrize("path", ["/nobody/mcp", "/mcp/nobody"])
    def test_an_unknown_server(self, gateway, path):
        """The first seed's JSON-RPC body names the server."""
        answer = asked(gateway, "POST", path, message(1, "tools/list"))
        assert answer.status == 404
        assert answer.json["error"] == {"code": -32601, "message": "Unknown server: nobody"}

    def test_the_other_spelling(self, gateway):
        """``/mcp/{server}`` is ``/{server}/mcp``."""
        answer = asked(gateway, "POST", "/mcp/fix", tool_call(1, "echo", {"text": "same"}))
        assert answer.json["result"]["content"][0]["text"] == "same"

    @pytest.mark.parametrize("path", [PREFIX, "/health", "/nothing", "/sessions/by-pid/1"])
    @pytest.mark.parametrize(
        "headers",
        [
            {"Host": "evil.example"},
            {"Host": "evil.example:9100"},
            {"Host": "localhost.evil.example"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://localhost:1"},
        ],
        ids=lambda each: "-".join(*each.items()),
    )
    def test_strange_names(self, gateway, path, headers):
        """A foreign Host or Origin is refused before anything is looked at, whatever it asks for."""
        answer = asked(gateway, "GET", path, **headers)
        assert answer.status == 403
        told = answer.json["error"]
        assert (told["message"] if path == PREFIX else told).startswith("Forbidden: this ")

    def test_names_that_are_ours(self, gateway):
        """Any loopback name with any port is a good Host, and our own origin a good Origin."""
        for host in ("localhost", "127.0.0.1:1234", "[::1]", "[::1]:80", "LOCALHOST:9"):
            assert asked(gateway, "GET", "/healthz", Host=host).status == 200
        own = f"127.0.0.1:{gateway.port}"
        assert asked(gateway, "GET", "/healthz", Host=own, Origin=f"http://{own}").status == 200

    def test_cross_site_changes(self, gateway):
        """A page of another site changes nothing, even where its browser sends no Origin."""
        answer = asked(gateway, "DELETE", "/sessions/x", Sec_Fetch_Site="cross-site")
        assert answer.status == 403
        assert asked(gateway, "DELETE", "/sessions/x", Sec_Fetch_Site="none").status == 200

    def test_no_permission_is_ever_given_to_pages(self, gateway):
        """A response never has a CORS header."""
        preflight = {"Access_Control_Request_Method": "POST", "Origin": "https://evil.example"}
        for answer in (
            asked(gateway, "OPTIONS", PREFIX, **preflight),
            asked(gateway, "GET", "/health"),
            asked(gateway, "POST", PREFIX, tool_call(1, "echo", {"text": "x"})),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control")]

    @pytest.mark.parametrize(
        ("method", "headers", "body", "status"),
        [
            ("GET", {}, b"", 400),
            ("GET", {"Accept": "application/json"}, b"", 406),
            ("GET", {"Mcp-Session-Id": "made-up"}, b"", 404),
            ("PUT", {}, b"{}", 405),
            ("POST", {"Accept": "text/html"}, message(1, "tools/list"), 406),
            ("POST", {"Content-Type": "text/plain"}, message(1, "tools/list"), 415),
            ("POST", {}, b"{not json", 400),
            ("POST", {}, b"[]", 400),
            ("POST", {}, b'{"jsonrpc":"1.0","id":1,"method":"x"}', 400),
            ("POST", {}, b'{"jsonrpc":"2.0","id":1.5,"method":"tools/list"}', 400),
            ("POST", {"Mcp-Session-Id": "made-up"}, message(1, "tools/list"), 404),
            ("POST", {"MCP-Protocol-Version": "1999-01-01"}, message(1, "tools/list"), 400),
        ],
    )
    def test_bad_requests(self, gateway, method, headers, body, status):
        """Each has the status that the specification or the SDKs give it, and a JSON-RPC error."""
        answer = asked(gateway, method, PREFIX, body, **{k.replace("-", "_"): v for k, v in headers.items()})
        assert answer.status == status
        assert answer.json["jsonrpc"] == "2.0"
        assert answer.json["error"]["message"]

    def test_a_body_beyond_the_limit(self, gateway):
        """A body that is announced as too large is refused before it is read, and the connection ends."""
        answer = asked(gateway, "POST", PREFIX, b"x" * 4_194_305)
        assert answer.status == 413
        assert answer.json["error"]["message"] == "Request body too large"
        assert answer.headers["connection"] == "close"

    def test_a_modern_request(self, gateway):
        """A request that is of the 2026 era by half is told what it lacks."""
        meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
        answer = asked(gateway, "POST", PREFIX, message("d", "tools/list", {"_meta": meta}))
        assert answer.status == 400
        assert (answer.json["id"], answer.json["error"]["code"]) == ("d", -32602)
        assert "clientCapabilities" in answer.json["error"]["message"]

    def test_a_stateful_server_needs_a_session(self, gateway):
        """A call without one is refused with the way out."""
        answer = asked(gateway, "POST", "/own/mcp", tool_call(1, "echo", {"text": "x"}))
        assert answer.status == 400
        assert answer.json["error"]["code"] == -32000
        assert "initialize first" in answer.json["error"]["data"]["hint"]

    def test_an_empty_initialize(self, gateway):
        """``initialize`` with empty params is answered with the latest revision of its era."""
        answer = asked(gateway, "POST", PREFIX, message(0, "initialize", {}))
        assert answer.json["result"]["protocolVersion"] == "2025-11-25"
        old = asked(gateway, "POST", PREFIX, message(0, "initialize", {"protocolVersion": REVISION}))
        assert old.json["result"]["protocolVersion"] == REVISION


class TokenTests:
    """Credentials."""

    def test_files_are_private(self, gateway):
        """The home and everything in it is its owner's alone, and no token is in the log."""
        assert gateway.home.stat().st_mode & 0o777 == 0o700
        for name in ("auth.token", "admin.token"):
            path = gateway.home / name
            assert path.stat().st_mode & 0o777 == 0o600
            assert len(path.read_text().strip()) >= 32
            assert path.read_text().strip() not in gateway.log

    def test_required_where_configured(self, tmp_path):
        """With ``bearer-required`` MCP and reads need the token, on loopback too; the token survives a restart."""
        running = Gateway(tmp_path, SERVERS, settings={"auth_mcp_transport": "bearer-required"})
        call = tool_call(1, "echo", {"text": "x"})
        tokens = set()
        for _ in range(2):
            with running:
                token = (running.home / "auth.token").read_text().strip()
                tokens.add(token)
                refused = asked(running, "POST", PREFIX, call)
                assert refused.status == 401
                assert refused.headers["www-authenticate"].startswith("Bearer")
                assert asked(running, "GET", "/health").status == 401
                wrong = asked(running, "POST", PREFIX, call, Authorization="Bearer wrong")
                assert wrong.status == 401
                right = asked(running, "POST", PREFIX, call, Authorization=f"Bearer {token}")
                assert right.status == 200
        assert len(tokens) == 1
