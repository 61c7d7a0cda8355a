"""A whole gateway in front of servers whose users have to sign in, with authorization servers from PyPI."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support import forkserver
from tests.support.certificates import Authority
from tests.support.gateway import BIN, Gateway, eventually, server
from tests.support.ports import free_port
from tests.support.processes import texts_below
from tests.support.protected import Protected, agreed, brought, several
from tests.support.terminal import Terminal

pytestmark = pytest.mark.functional

PATIENCE_S = 60.0
REVISION = "2026-07-28"
Start = Callable[..., Protected]
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Starts protected servers; what they were told before is forgotten."""
    with several() as begin:
        yield begin


def ask(gateway: Gateway, message: Any, path: str = "/remote/mcp", **more: str) -> Any:
    """Send a message; the answer."""
    headers = {"Content-Type": "application/json", "Accept": "application/json", **more}
    request = urllib.request.Request(f"{gateway.url}{path}", json.dumps(message).encode(), headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    """A call of a tool."""
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}


class WaitingTests:
    """While nobody has signed in."""

    @pytest.mark.parametrize("kind", ["sdk", "authlib"])
    def test_however_often_it_is_looked_at(self, start: Start, tmp_path: Path, kind: str) -> None:
        """A server that waits for its user has failed at nothing: once somebody has signed in it is there at once."""
        server = start(kind)
        with Gateway(tmp_path, {"remote": {"url": server.url}}) as gateway:
            for _ in range(12):
                told = ask(gateway, call("whoami"))
                assert "wants its user to sign in" in told["error"]["message"]
            assert server.asked("POST /mcp") == 1
            shown = gateway.backend("remote")
            assert (shown["status"], shown["consecutive_failures"]) == ("needs login", 0)
            assert shown["next_try_s"] is None
            with urllib.request.urlopen(
                agreed(told["error"]["data"]["url"], "ann"), timeout=PATIENCE_S
            ) as page:
                assert b"may use remote now" in page.read()
            assert ask(gateway, call("whoami"))["result"]["content"][0]["text"] == "ann"
            assert gateway.backend("remote")["status"] == "running"
            assert "state=" not in gateway.log

    def test_a_token_that_cannot_be_renewed(self, start: Start, tmp_path: Path) -> None:
        """Where a token has expired and is not renewed, the user is told everywhere to sign in again, and it helps."""
        server, again = start("sdk", "--seconds", "2"), "mcpgateway servers login remote"

        def signed_in(url: str) -> None:
            with urllib.request.urlopen(agreed(url, "ann"), timeout=PATIENCE_S):
                assert ask(gateway, call("whoami"))["result"]["content"][0]["text"] == "ann"

        with Gateway(tmp_path, {"remote": {"url": server.url}}) as gateway:
            signed_in(ask(gateway, call("whoami"))["error"]["data"]["url"])
            server.tell(forget=True)  # its next renewal is refused
            eventually(lambda: "error" in ask(gateway, call("whoami")), "the token has expired")
            refused = ask(gateway, call("whoami"))["error"]
            assert "sign in" in refused["message"]
            for words in (("status",), ("why", "remote")):
                said = " ".join(ran(gateway, *words)[1].split())
                assert again in said
            assert gateway.backend("remote")["status"] == "needs login"
            code, err, _ = ran(gateway, "--json", "tools", "call", "remote__whoami")
            assert (code, again in err) == (1, True)
            code, out, _ = ran(gateway, "servers", "login", "remote", "--no-wait")
            assert code == 0
            signed_in(out.strip())
            assert gateway.backend("remote")["status"] == "running"


CLOCK = (sys.executable, "-m", "mcpgateway.demo.clock")


def ran(gateway: Gateway, *words: str, stdin: str = "") -> tuple[int, str, str]:
    """Run a command; its code, and what it said."""
    done = forkserver.ran(argv(gateway, *words), given=stdin, env=environ(gateway), has_ended=False)
    return done.returncode, done.stdout, done.stderr


def argv(gateway: Gateway, *words: str) -> list[str]:
    """Return the command line for the gateway."""
    return [str(BIN / "mcpgateway"), "--home", str(gateway.home), *words]


def environ(gateway: Gateway) -> dict[str, str]:
    """The environment of commands."""
    return {"PATH": os.environ["PATH"], "HOME": str(gateway.directory), "LANG": "C.UTF-8"}


class World:
    """A gateway with a server of each authorization server in front of it, and one on this machine.

    :param more: keys of the entries of the remote ones.
    """

    def __init__(self, directory: Path, start: Start, **more: Any) -> None:
        self.sdk, self.authlib = start("sdk"), start("authlib")
        entries: dict[str, Any] = {
            "sdk": {"url": self.sdk.url, **more},
            "authlib": {"url": self.authlib.url, **more},
            "common": {"url": self.sdk.url, "oauth": {"grant": "gateway"}, **more},
            "unmet": {"url": self.sdk.url, **more},
            "clock": server(CLOCK),
        }
        self.gateway = Gateway(directory, entries)

    def ran(self, *words: str, stdin: str = "") -> tuple[int, str, str]:
        """Run a command; its code, and what it said."""
        return ran(self.gateway, *words, stdin=stdin)

    def argv(self, *words: str) -> list[str]:
        """Return the command line for the gateway."""
        return argv(self.gateway, *words)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of commands."""
        return environ(self.gateway)

    def way(self, name: str) -> str:
        """Where somebody signs in at a server."""
        code, out, _ = self.ran("servers", "login", name, "--no-wait")
        assert code == 0
        return out.strip()

    def who(self, name: str) -> Any:
        """Return the account of the gateway at a server, or the refusal."""
        answer = ask(self.gateway, call("whoami"), f"/{name}/mcp")
        return answer["result"]["content"][0]["text"] if "result" in answer else answer["error"]

    def kept(self) -> str:
        """All that is kept of grants."""
        return texts_below(self.gateway.home / "grants")

    def tokens(self) -> set[str]:
        """The access tokens that are kept."""
        # A file that is being written has a name with a dot in front.
        files = [each for each in (self.gateway.home / "grants").iterdir() if not each.name.startswith(".")]
        kept = [json.loads(each.read_text()) for each in files]
        return {str(each["grant"]["access_token"]) for each in kept if each.get("grant")}


def read(url: str, **headers: str) -> tuple[int, bytes]:
    """The status and the page at a URL."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE_S) as page:
            return page.status, page.read()
    except urllib.error.HTTPError as why:
        return why.code, why.read()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, start: Start) -> Iterator[World]:
    """A gateway for many tests."""
    world = World(tmp_path_factory.mktemp("login"), start)
    with world.gateway:
        yield world


@pytest.fixture
def world(kept: World, start: Start) -> World:
    """The gateway, without any sign-in."""
    start("sdk")
    start("authlib")
    for name in ("sdk", "authlib", "common"):
        kept.ran("servers", "forget", name)
    return kept


class LoginTests:
    """``mcpgateway servers login``, and out again."""

    @pytest.mark.parametrize("kind", ["sdk", "authlib"])
    def test_in_a_pipe(self, world: World, kind: str) -> None:
        """The address is alone on the first line of stdout; the command ends when somebody has signed in there."""
        argv = world.argv("servers", "login", kind)
        with subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=world.environ,
        ) as waiting:
            assert waiting.stdout is not None
            url = waiting.stdout.readline().strip()
            status, page = read(agreed(url, "ann"))
            assert (status, f"may use {kind} now".encode() in page) == (200, True)
            out, err = waiting.communicate(timeout=PATIENCE_S)
        assert (waiting.returncode, out) == (0, f"Signed in at {kind}.\n"), err
        assert world.who(kind) == "ann"
        assert world.ran("servers", "login", kind)[:2] == (0, f"Signed in at {kind}.\n")

    @pytest.mark.parametrize("kind", ["sdk", "authlib"])
    def test_pasted(self, world: World, kind: str) -> None:
        """On a terminal the address that a browser was sent to is pasted, where it cannot come back by itself."""
        terminal = Terminal(world.argv("servers", "login", kind, "--no-browser"), world.environ)
        assert terminal.shows("paste its whole address here:"), terminal.screen
        url = next(each for each in terminal.screen.split() if each.startswith(getattr(world, kind).origin))
        terminal.type(f"no such thing\n{agreed(url, 'bob')}\n")
        assert terminal.ended() == 0
        assert "neither a URL nor a code" in terminal.screen
        assert f"Signed in at {kind}." in terminal.screen
        assert world.who(kind) == "bob"

    def test_given(self, world: World) -> None:
        """A script's answer is taken if it is whole and of this sign-in; a bare code where no issuer is told."""
        location = agreed(world.way("authlib"), "cem")
        code = brought(location)["code"]
        strange = location.replace(brought(location)["state"], "another")
        for words, told in (
            ("two words", "neither a URL nor a code"),
            (code, "the code alone"),
            (strange, "another sign-in"),
            (location.partition("?")[0] + "?x=1", "no code"),
            (f"http://localhost/?code={code}", "no state"),
        ):
            done, _, err = world.ran("servers", "login", "authlib", "--answer", words)
            assert (done, told in err) == (1, True), (words, err)
        assert world.ran("servers", "login", "authlib", "--answer", "-", stdin=f"{location}\n")[0] == 0
        assert world.who("authlib") == "cem"
        bare = brought(agreed(world.way("sdk"), "dan"))["code"]
        assert world.ran("servers", "login", "sdk", "--answer", bare)[0] == 0
        assert world.who("sdk") == "dan"

    @pytest.mark.parametrize("kind", ["sdk", "authlib"])
    def test_signing_out(self, world: World, kind: str) -> None:
        """The authorization server takes the tokens back, and nothing is kept of them; the registration stays."""
        before = world.tokens()
        read(agreed(world.way(kind), "ann"))
        assert world.who(kind) == "ann"
        (token,), registered = world.tokens() - before, getattr(world, kind).clients()
        assert world.ran("servers", "logout", kind)[:2] == (0, f"Signed out at {kind}.\n")
        status, _ = read(
            getattr(world, kind).url, Authorization=f"Bearer {token}", Accept="text/event-stream"
        )
        assert status == 401
        kept = world.kept()
        assert token not in kept
        assert "wants its user to sign in" in world.who(kind)["message"]
        assert getattr(world, kind).clients() == registered
        assert "Nobody had signed in" in world.ran("servers", "logout", kind)[1]
        out = world.ran("servers", "forget", kind)[1]
        assert "registers anew" in out
        assert (getattr(world, kind).clients() == []) is (
            kind == "authlib"
        )  # the official SDK has no way to say it
        assert registered[0]["id"] not in "".join(
            each.read_text() for each in (world.gateway.home / "grants").iterdir()
        )

    def test_again(self, world: World) -> None:
        """A user who wants to be another signs in once more."""
        read(agreed(world.way("sdk"), "ann"))
        assert world.who("sdk") == "ann"
        code, url, _ = world.ran("servers", "login", "sdk", "--again", "--no-wait")
        assert code == 0
        assert world.who("sdk") == "ann"  # until that is done
        read(agreed(url.strip(), "eva"))
        assert world.who("sdk") == "eva"

    def test_a_user_who_says_no(self, world: World) -> None:
        """The page says so, nothing is used, and the next sign-in begins anew."""
        url = world.way("authlib")
        status, page = read(agreed(url, "nobody"))
        assert (status, b"access_denied" in page) == (400, True)
        assert world.way("authlib") != url
        done, out, _ = world.ran("servers", "login", "authlib", "--timeout", "1s")
        assert (done, "Nobody has signed in" in out) == (1, True)

    def test_nowhere(self, world: World) -> None:
        """A server on this machine is no place to sign in at, and says so."""
        code, _, err = world.ran("servers", "login", "clock")
        assert (code, "no remote server" in err) == (1, True)
        assert world.ran("servers", "login", "no-such-server")[0] == 1

    def test_where_it_is_shown(self, world: World) -> None:
        """A user of the server is shown the whole address, everywhere; no log has it."""
        url = world.way("sdk")
        assert world.ran("servers", "login", "sdk", "--no-wait")[1].strip() == url
        assert world.who("sdk")["data"]["url"] == url
        assert url in world.ran("status")[1]
        assert url in world.ran("why", "sdk")[1]
        assert url in world.ran("servers", "get", "sdk")[1]
        assert world.gateway.backend("sdk")["login_url"] == url
        assert json.loads(world.ran("--json", "why", "sdk")[1])["login_url"] == url
        assert "mcpgateway servers login sdk" in world.ran("why", "sdk")[1]
        assert "sdk does not run: it wants its user" in world.ran("servers", "start", "sdk")[1]
        assert "mcpgateway servers login" in world.ran("doctor")[1]
        state = brought(url)["state"]
        logs = texts_below(world.gateway.home / "logs")
        assert state not in world.gateway.log + logs
        assert brought(url)["code_challenge"] not in world.gateway.log + logs

    def test_validating(self, world: World) -> None:
        """``validate`` knows the server of the gateway that runs and what it was granted, and registers nobody."""
        url = world.way("sdk")
        registered = world.sdk.clients()
        for more in ([], ["--config", str(world.gateway.config)]):
            code, out, _ = world.ran("validate", "--server", "sdk", *more)
            assert (code, "needs login" in out, "servers login sdk" in out) == (1, True, True)
        assert world.sdk.clients() == registered
        read(agreed(url))
        assert world.ran("validate", "--server", "sdk")[0] == 0
        assert world.sdk.clients() == registered


class DeviceTests:
    """``mcpgateway servers login --device``."""

    def begun(self, world: World, name: str) -> tuple[subprocess.Popen[str], str, str]:
        """Begin a sign-in; the command, the page and the code."""
        running = subprocess.Popen(
            world.argv("servers", "login", name, "--device"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=world.environ,
        )
        assert running.stdout is not None
        return running, running.stdout.readline().strip(), running.stdout.readline().strip()

    @pytest.mark.parametrize(
        ("user", "code", "said"),
        [("ann", 0, "Signed in at authlib.\n"), ("nobody", 1, "The sign-in at authlib was declined.\n")],
    )
    def test_entered(self, world: World, user: str, code: int, said: str) -> None:
        """The command ends when the user has entered the code, and says whether it was declined."""
        running, page, shown = self.begun(world, "authlib")
        with running:
            assert page == f"{world.authlib.origin}/device"
            assert read(f"{page}?user_code={shown}&as={user}")[0] == 200
            out, err = running.communicate(timeout=PATIENCE_S)
        assert (running.returncode, out) == (code, said), err
        assert f"{page}?user_code={shown} has the code in it." in err
        assert (world.who("authlib") == "ann") is (user == "ann")
        logs = texts_below(world.gateway.home / "logs")
        assert shown not in world.gateway.log + logs

    def test_expired(self, start: Start, tmp_path: Path) -> None:
        """A code that nobody enters ends, and the command names the next one; JSON has the state for programs."""
        server = start("authlib", "--code-seconds", "2")
        with Gateway(tmp_path, {"remote": {"url": server.url}}) as gateway:
            code, out, _ = ran(gateway, "--json", "servers", "login", "remote", "--device")
            assert (code, json.loads(out)) == (1, {"server": "remote", "state": "expired"})
            code, out, _ = ran(gateway, "servers", "login", "remote", "--device")
            assert (code, "login remote --device gives a new one" in out) == (1, True)
            assert ran(gateway, "servers", "login", "remote", "--no-wait")[1].startswith(server.origin)

    def test_a_server_without_codes(self, world: World) -> None:
        """Where the authorization server offers none, the error names the way by a browser."""
        code, _, err = world.ran("servers", "login", "sdk", "--device")
        assert (code, "offers no sign-in by a device code" in err) == (1, True)
        assert "mcpgateway servers login sdk" in err

    def test_another_person(self, world: World) -> None:
        """A person with a token of their own gets no code: whoever enters it would give them an account."""
        status, told = Person(world).login("authlib", "POST", device=True)
        assert status == 403
        assert "only the gateway's own user" in str(told)
        assert Person(world).login("authlib", "POST", device="yes")[0] == 400

    def test_completion(self, world: World) -> None:
        """Names that need a sign-in are completed for login, and those of remote servers for logout."""
        world.who("sdk")

        def completed(verb: str) -> set[str]:
            words = f"mcpgateway --home {world.gateway.home} servers {verb} "
            more = {"_MCPGATEWAY_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "5"}
            done = subprocess.run(
                [str(BIN / "mcpgateway")],
                env={**world.environ, **more},
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
            return {each.partition(",")[2] for each in done.stdout.splitlines()}

        assert "sdk" in completed("login")
        assert "clock" not in completed("login") | completed("logout")
        assert completed("logout") == {"sdk", "authlib", "common", "unmet"}


MODERN = {
    "io.modelcontextprotocol/protocolVersion": REVISION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}


class Person:
    """A person with a token of their own, or with a key of the settings."""

    def __init__(self, world: World, key: str = "") -> None:
        self._world = world
        if key:
            self.headers = {"X-API-Key": key}
            return
        code, made, why = world.ran("--json", "token", "create", f"person-{secrets.token_hex(4)}")
        assert code == 0, why
        self.made = json.loads(made)
        self.headers = {"Authorization": f"Bearer {self.made['token']}"}

    def who(self, name: str) -> Any:
        """Return the person's account at a server, or the address to sign in at."""
        return _whom(ask(self._world.gateway, call("whoami"), f"/{name}/mcp", **self.headers))

    def who_by_view(self, name: str) -> Any:
        """Return the person's account, by the view of all servers."""
        return _whom(ask(self._world.gateway, call(f"{name}__whoami"), "/mcp/full", **self.headers))

    def who_today(self, path: str, tool: str) -> Any:
        """Return the person's account, by a client of the modern era."""
        message = call(tool)
        message["params"]["_meta"] = MODERN
        said = {"MCP-Protocol-Version": REVISION, "Mcp-Method": "tools/call", "Mcp-Name": tool}
        return _whom(ask(self._world.gateway, message, path, **said, **self.headers))

    def login(self, name: str, method: str = "GET", query: str = "", **said: Any) -> tuple[int, Any]:
        """Ask about their sign-in at a server."""
        body = json.dumps(said).encode() if method == "POST" else None
        url = f"{self._world.gateway.url}/api/v1/servers/{name}/login{query}"
        headers = {**self.headers, "Content-Type": "application/json"}
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as why:
            return why.code, json.load(why)

    def sign_in(self, name: str, user: str) -> None:
        """Have a browser do it, and agree to what it is shown."""
        status, page = read(agreed(self.who(name), user))
        assert (status, b"is going to use your account" in page) == (200, True)
        key = page.partition(b'name="key" value="')[2].partition(b'"')[0]
        url = f"{self._world.gateway.url}/oauth/callback"
        with urllib.request.urlopen(url, b"key=" + key, timeout=PATIENCE_S) as done:
            assert f"may use {name} now".encode() in done.read()


def _whom(answer: Any) -> Any:
    if "result" in answer:
        return answer["result"]["content"][0]["text"]
    return answer["error"].get("data", {}).get("url", answer["error"]["message"])


class PeopleTests:
    """Two people with tokens of their own."""

    @pytest.mark.parametrize("kind", ["sdk", "authlib"])
    def test_two_people_are_two(self, world: World, kind: str) -> None:
        """Each signs in and reaches the remote server as themselves, at every endpoint and in both eras."""
        ann, bob = Person(world), Person(world)
        ways = {ann.who(kind), bob.who(kind), world.who(kind)["data"]["url"]}
        assert len(ways) == 3
        ann.sign_in(kind, "ann")
        assert ann.who(kind) == "ann"
        assert bob.who(kind) in ways
        assert world.who(kind)["data"]["url"] in ways
        bob.sign_in(kind, "bob")
        world_url = world.who(kind)["data"]["url"]
        read(agreed(world_url, "cem"))
        for _ in range(2):  # one after the other, and back
            for person, user in ((ann, "ann"), (bob, "bob")):
                assert person.who(kind) == user
                assert person.who_by_view(kind) == user
                assert person.who_today(f"/{kind}/mcp", "whoami") == user
                assert person.who_today("/mcp/full", f"{kind}__whoami") == user
            assert world.who(kind) == "cem"

    def test_one_signs_out(self, world: World) -> None:
        """A user who signs out does so alone; the address for another user is of no use to them."""
        ann, bob = Person(world), Person(world)
        ann.sign_in("sdk", "ann")
        url = bob.who("sdk")
        status, told = ann.login("sdk", "POST", answer=agreed(url, "ann"))
        assert (status >= 400, ann.who("sdk"), bob.who("sdk")) == (True, "ann", url), told
        status, told = bob.login("sdk", "POST", answer=agreed(url, "bob"))
        assert (status, told["state"], bob.who("sdk")) == (200, "signed in", "bob")
        assert bob.login("sdk", "DELETE", query="?forget=true")[0] == 403  # the registration is all people's
        status, told = bob.login("sdk", "DELETE")
        assert (status, told["signed_out"]) == (200, True)
        assert bob.login("sdk")[1]["state"] != "signed in"
        assert ann.login("sdk")[1]["state"] == "signed in"
        assert (ann.who("sdk"), bob.who("sdk").startswith(world.sdk.origin)) == ("ann", True)

    def test_who_waits_is_no_trouble_of_the_others(self, world: World) -> None:
        """A user who has signed in is served; ``why`` names those who have not, and shows no user another's address."""
        ann, bob = Person(world), Person(world)
        ann.sign_in("sdk", "ann")
        assert ann.who("sdk") == "ann"
        url = bob.who("sdk")
        assert world.gateway.backend("sdk")["status"] == "running"
        told = world.ran("why", "sdk")[1]
        assert ("agent " in told, brought(url)["state"] in told) == (True, False)

    @pytest.mark.parametrize("kind", ["sdk", "authlib"])
    def test_a_token_that_is_revoked(self, world: World, kind: str) -> None:
        """The grant of the token's bearer is given back, and no part of it is kept."""
        ann, bob = Person(world), Person(world)
        bob.sign_in(kind, "bob")
        before = world.tokens()
        ann.sign_in(kind, "ann")
        (left,) = world.tokens() - before
        assert ann.who(kind) == "ann"
        assert world.ran("token", "revoke", ann.made["id"])[0] == 0
        eventually(lambda: world.tokens() == before, "the grant is forgotten")

        def status() -> int:
            url = getattr(world, kind).url
            return read(url, Authorization=f"Bearer {left}", Accept="text/event-stream")[0]

        eventually(lambda: status() == 401, "the grant is given back")
        assert bob.who(kind) == "bob"

    def test_somebody_who_comes_no_more(self, world: World) -> None:
        """Keys that the settings no longer have, and servers that are no longer listed, leave no grant behind."""
        before, config = world.tokens(), world.gateway.config
        said = json.loads(config.read_text())
        key = secrets.token_urlsafe(24)

        def edited(keys: list[str], **servers: Any) -> None:
            security = {"security": {"auth": {"enabled": bool(keys), "api_keys": keys}}}
            config.write_text(
                json.dumps({**said, "settings": security, "servers": said["servers"] | servers})
            )

        edited([key], gone={"url": world.authlib.url})
        cem = Person(world, key)
        eventually(lambda: cem.login("gone")[0] == 200, "the key and the server are known")
        cem.sign_in("gone", "cem")
        cem.sign_in("authlib", "cem")
        cem.sign_in("sdk", "cem")
        left = world.tokens() - before
        assert len(left) == 3
        edited([key])
        edited([])
        eventually(lambda: "key " not in world.kept(), "nothing is kept")
        assert world.tokens() == before

        def are_revoked() -> bool:
            return all(
                read(each.url, Authorization=f"Bearer {token}", Accept="text/event-stream")[0] == 401
                for token in left
                for each in (world.sdk, world.authlib)
            )

        eventually(are_revoked, "both servers refuse all of the tokens")
        config.write_text(json.dumps(said))

    def test_one_for_all(self, world: World) -> None:
        """Where its entry says so, the gateway signs in once, and only its own user changes that."""
        ann, bob = Person(world), Person(world)
        url = ann.who("common")
        assert bob.who("common") == world.who("common")["data"]["url"] == url
        read(agreed(url, "eva"))
        assert (ann.who("common"), bob.who("common"), world.who("common")) == ("eva", "eva", "eva")
        for status, told in (ann.login("common", "DELETE"), ann.login("common", "POST", again=True)):
            assert (status, "oauth.grant" in json.dumps(told)) == (403, True)
        assert ann.who("common") == "eva"
        assert world.ran("servers", "logout", "common")[0] == 0
        assert bob.who("common").startswith(world.sdk.origin)


class Client:
    """A client of a legacy revision, in a session of its own."""

    def __init__(
        self, world: World, path: str, *, sends: bool, version: str = "2025-11-25", **more: str
    ) -> None:
        self.url = f"{world.gateway.url}{path}"
        self.headers = {"Content-Type": "application/json", "Accept": "application/json", **more}
        capabilities: Any = {"elicitation": {"form": {}, "url": {}} if sends else {}}
        params: Any = HELLO["params"]
        said = {**params, "capabilities": capabilities, "protocolVersion": version}
        with self._open({**HELLO, "params": said}) as answer:
            self.hello = json.load(answer)["result"]
            self.headers["Mcp-Session-Id"] = answer.headers["mcp-session-id"]

    def _open(self, message: Any) -> Any:
        body = json.dumps(message).encode() if message is not None else None
        return urllib.request.urlopen(
            urllib.request.Request(self.url, body, self.headers), timeout=PATIENCE_S
        )

    def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool; the whole answer."""
        with self._open(call(tool, **arguments)) as answer:
            return json.load(answer)

    def heard(self, *methods: str) -> dict[str, Any]:
        """The parameters of notifications that it is told, by their methods."""
        found: dict[str, Any] = {}
        self.headers["Accept"] = "text/event-stream"
        with self._open(None) as stream:
            while not found.keys() >= set(methods):
                line = stream.readline()
                if line.startswith(b"data: {"):
                    message = json.loads(line[6:])
                    found[message["method"]] = message.get("params")
        self.headers["Accept"] = "application/json"
        return found


class EditedTests:
    """Sessions that are open when the configuration changes."""

    def test_whose_account_it_is(self, world: World) -> None:
        """Open sessions use the account that their requests are to be made with from then on, and no other."""
        ann, gateway = Person(world), world.gateway
        ann.sign_in("sdk", "ann")
        read(agreed(world.way("sdk"), "cem"))
        clients = [
            (Client(world, path, sends=False, **headers), tool, user)
            for path, tool in (("/sdk/mcp", "whoami"), ("/mcp/full", "sdk__whoami"))
            for headers, user in ((ann.headers, "ann"), ({}, "cem"))
        ]

        def seen() -> list[str]:
            return [_whom(client.call(tool)) for client, tool, _ in clients]

        mine = [user for _, _, user in clients]
        assert seen() == mine
        before = gateway.config.read_text()
        entry = {"sdk": {"url": world.sdk.url, "oauth": {"grant": "gateway"}}}
        changed = json.loads(before)
        gateway.config.write_text(json.dumps(changed | {"servers": changed["servers"] | entry}))
        eventually(lambda: seen() == ["cem"] * 4, "one account for all")
        gateway.config.write_text(before)
        eventually(lambda: seen() == mine, "each their own again")


class SentTests:
    """Clients that send their users to sign-ins by themselves (URL elicitation), and others."""

    def test_it_begins(self, world: World) -> None:
        """A session begins though nobody has signed in, its client is asked, hears when that is done, and goes on."""
        client = Client(world, "/unmet/mcp", sends=True)
        url = world.way("unmet")
        assert url in client.hello["instructions"]
        error = client.call("whoami")["error"]
        (sent,) = error["data"]["elicitations"]
        assert (error["code"], sent["mode"], sent["url"]) == (-32042, "url", url)
        read(agreed(url, "ann"))
        heard = client.heard("notifications/elicitation/complete", "notifications/tools/list_changed")
        assert heard["notifications/elicitation/complete"] == {"elicitationId": sent["elicitationId"]}
        assert client.call("whoami")["result"]["content"][0]["text"] == "ann"
        assert Client(world, "/unmet/mcp", sends=True).hello["serverInfo"]["name"] == "protected"

    @pytest.mark.parametrize(
        ("tool", "arguments"),
        [("sdk__whoami", {}), ("gateway_invoke", {"id": "sdk__whoami"})],
        ids=["view", "invoked"],
    )
    def test_on_views(self, world: World, tool: str, arguments: dict[str, Any]) -> None:
        """The same where servers are used through the endpoint for all of them."""
        client = Client(world, "/mcp/full", sends=True)
        error = client.call(tool, **arguments)["error"]
        assert (error["code"], error["data"]["elicitations"][0]["url"]) == (-32042, world.way("sdk"))
        read(agreed(error["data"]["elicitations"][0]["url"], "ann"))
        assert "notifications/elicitation/complete" in client.heard("notifications/elicitation/complete")
        assert client.call(tool, **arguments)["result"]["content"][0]["text"] == "ann"

    @pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18"])
    def test_others(self, world: World, version: str) -> None:
        """A client that cannot, or whose revision does not know of it, is told in words."""
        client = Client(world, "/sdk/mcp", sends=version == "2025-06-18", version=version)
        error = client.call("whoami")["error"]
        assert (error["code"], error["data"]["url"], "elicitations" in error["data"]) == (
            -32603,
            world.way("sdk"),
            False,
        )

    @pytest.mark.parametrize(
        ("path", "tool", "arguments"),
        [
            ("/authlib/mcp", "whoami", {}),
            ("/mcp/full", "authlib__whoami", {}),
            ("/mcp/full", "gateway_invoke", {"id": "authlib__whoami"}),
        ],
        ids=["server", "view", "invoked"],
    )
    def test_today(self, world: World, path: str, tool: str, arguments: dict[str, Any]) -> None:
        """A client of the modern era is asked by the answer; its next request waits until its user has signed in."""

        def told(**more: Any) -> Any:
            message = call(tool, **arguments)
            meta = {**MODERN, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}}}
            message["params"] |= {"_meta": meta, **more}
            said = {"MCP-Protocol-Version": REVISION, "Mcp-Method": "tools/call", "Mcp-Name": tool}
            return ask(world.gateway, message, path, **said)

        asked = told()["result"]
        ((key, question),) = asked["inputRequests"].items()
        assert (asked["resultType"], question["method"]) == ("input_required", "elicitation/create")
        url = question["params"]["url"]
        assert (question["params"]["mode"], url) == ("url", world.way("authlib"))
        declined = told(inputResponses={key: {"action": "decline"}})
        assert world.way("authlib") in json.dumps(declined)
        assert "inputRequests" not in json.dumps(declined)
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(told, inputResponses={key: {"action": "accept"}})
            read(agreed(url, "ann"))
            result = waiting.result(PATIENCE_S)["result"]
        assert (result["resultType"], result["content"][0]["text"]) == ("complete", "ann")


class PublicTests:
    """A gateway whose browsers are on other machines."""

    def test_where_browsers_come_back_to(self, start: Start, tmp_path: Path) -> None:
        """Browsers come back to the public address, and an authorization server that fetches its clients
        knows it by that.

        Nobody is registered then (client ID metadata documents).
        """
        authority = Authority(tmp_path)
        certificate = authority.issue("localhost")
        os.chmod(certificate, 0o600)
        port = free_port()
        protected = start("authlib", "--documents", authority.file)
        settings = {
            "public_url": f"https://localhost:{port}/",
            "tls_cert_path": certificate,
            "tls_key_path": certificate,
        }
        gateway = Gateway(tmp_path, {"remote": {"url": protected.url}}, settings=settings)
        gateway.port = port
        with gateway:
            told = ask(gateway, call("whoami"))["error"]["data"]["url"]
            asked = brought(told)
            assert asked["redirect_uri"] == f"https://localhost:{port}/oauth/callback"
            assert asked["client_id"] == f"https://localhost:{port}/oauth/client.json"
            document = json.loads(read(f"{gateway.url}/oauth/client.json")[1])
            assert document["client_id"] == asked["client_id"]
            assert document["redirect_uris"] == [asked["redirect_uri"]]
            assert protected.asked("POST /register") == 0
            back = urlsplit(agreed(told, "ann"))
            status, _ = read(f"{gateway.url}{back.path}?{back.query}", Host=back.netloc)
            assert status == 200
            assert ask(gateway, call("whoami"))["result"]["content"][0]["text"] == "ann"
            agent = ran(gateway, "--json", "token", "create", "bob")[1]
            bearer = {"Authorization": f"Bearer {json.loads(agent)['token']}"}
            told = ask(gateway, call("whoami"), **bearer)["error"]["data"]["url"]
            back = urlsplit(agreed(told, "bob"))
            _, page = read(f"{gateway.url}{back.path}?{back.query}", Host=back.netloc)
            # Its TLS may end at a proxy: the browser's origin is the public one then.
            place = {"Host": back.netloc, "Origin": f"https://{back.netloc}", "Sec-Fetch-Site": "same-origin"}
            form = b"key=" + page.partition(b'name="key" value="')[2].partition(b'"')[0]
            asked = urllib.request.Request(f"{gateway.url}/oauth/callback", form, place)
            with urllib.request.urlopen(asked, timeout=PATIENCE_S) as done:
                assert b"may use remote now" in done.read()
            assert ask(gateway, call("whoami"), **bearer)["result"]["content"][0]["text"] == "bob"
