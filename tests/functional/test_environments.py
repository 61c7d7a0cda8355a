"""Environments of servers: the same wherever they are started, and no secret of them shown anywhere."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S, Gateway, eventually
from tests.support.processes import texts_below
from tests.support.real_servers import fixture

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="only Linux shows what a process was given"
    ),
]

PASSWORD = "correct-horse"
HANDED_ON = {
    "HTTPS_PROXY": f"http://me:{PASSWORD}@proxy.test:3128",
    "no_proxy": "localhost,.test",
    "SSL_CERT_FILE": "/etc/company.pem",
    "NODE_EXTRA_CA_CERTS": "/etc/company.pem",
    "UV_INDEX_URL": f"https://me:{PASSWORD}@index.test/simple",
    "npm_config_registry": "https://registry.test/",
    "LC_TIME": "C",
    "TZ": "UTC",
    "XDG_RUNTIME_DIR": "/run/user/1",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1/bus",
}
KEPT_BACK = {"SSH_AUTH_SOCK": "/run/agent", "GITHUB_TOKEN": PASSWORD, "UV_PUBLISH_TOKEN": PASSWORD}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of a machine behind a proxy, started from a shell."""
    environ = {**HANDED_ON, **KEPT_BACK, "TERM": "xterm", "SHLVL": "1"}
    directory = tmp_path_factory.mktemp("environments")
    with Gateway(directory, environ=environ) as running:
        yield running


def ran(gateway: Gateway, *words: str) -> tuple[int, str]:
    """Run a command in another shell, which knows another proxy; its code, and all that it said."""
    done = forkserver.ran(
        [str(BIN / "mcpgateway"), "--home", str(gateway.home), *words],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(gateway.directory),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            "SHLVL": "2",
            "HTTPS_PROXY": "http://other.test:1",
        },
        cwd=gateway.directory,
        has_ended=False,
    )
    return done.returncode, done.stdout + done.stderr


def teller(gateway: Gateway, name: str) -> list[str]:
    """The command of a server that writes down what it was given before it serves."""
    script = f"cat /proc/$$/environ > {gateway.directory}/given-$0; exec {' '.join(fixture())}"
    return ["sh", "-c", script, name]


def given(gateway: Gateway, name: str) -> dict[str, str]:
    """The environment of the server, but for the mark by which a process is known to be a gateway's."""
    text = (gateway.directory / f"given-{name}").read_text()
    found = dict(each.split("=", 1) for each in text.split("\0") if each)
    return {name: value for name, value in found.items() if not name.startswith("MCPGATEWAY")}


def test_the_same_everywhere(gateway: Gateway) -> None:
    """``validate``, ``servers add``, installing and serving give a server one and the same environment."""
    code, said = ran(gateway, "validate", "--", *teller(gateway, "tried"))
    assert code == 0, said
    code, said = ran(gateway, "servers", "add", "added", "--", *teller(gateway, "added"))
    assert code == 0, said
    added = given(gateway, "added")
    (gateway.directory / "given-added").unlink()
    assert ran(gateway, "servers", "restart", "added")[0] == 0
    eventually((gateway.directory / "given-added").exists, "it is served")
    command, *args = teller(gateway, "installed")
    params = {
        "name": "gateway_install_server",
        "arguments": {"server": {"command": command, "args": args}, "name": "installed", "scope": "global"},
    }
    token = (gateway.home / "admin.token").read_text().strip()
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Authorization": f"Bearer {token}",
    }
    request = urllib.request.Request(f"{gateway.url}/mcp/admin", body, headers)
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        assert b'"isError":true' not in (told := answer.read()), told
    found = {name: given(gateway, name) for name in ("tried", "installed", "added")}
    assert found == dict.fromkeys(found, added)
    assert HANDED_ON.items() <= added.items()
    assert not KEPT_BACK.keys() & added.keys()


def test_what_is_named(gateway: Gateway) -> None:
    """A variable that is not handed on is given where the entry names it."""
    definition = {
        "command": teller(gateway, "named")[0],
        "args": teller(gateway, "named")[1:],
        "env": {"SSH_AUTH_SOCK": "${SSH_AUTH_SOCK}"},
        "env_policy": ["minimal", "GITHUB_TOKEN", "TZ"],
    }
    text = json.loads(gateway.config.read_text())
    text["servers"]["named"] = definition
    gateway.config.write_text(json.dumps(text))
    eventually(lambda: ran(gateway, "servers", "start", "named")[0] == 0, "it is served")
    found = given(gateway, "named")
    assert {each: found[each] for each in ("SSH_AUTH_SOCK", "GITHUB_TOKEN", "TZ")} == {
        "SSH_AUTH_SOCK": "/run/agent",
        "GITHUB_TOKEN": PASSWORD,
        "TZ": "UTC",
    }
    assert not {"HTTPS_PROXY", "UV_INDEX_URL", "XDG_RUNTIME_DIR"} & found.keys()


def test_passwords_are_shown_nowhere(gateway: Gateway) -> None:
    """A server that tells all it was given and ends gives no password of a proxy or an index away."""
    tell = ["sh", "-c", "env >&2; p=${HTTPS_PROXY#*me:}; echo the password is ${p%@*} >&2; exit 3"]
    said = [
        ran(gateway, "validate", "--", *tell)[1],
        ran(gateway, "servers", "add", "teller", "--", *tell)[1],
    ]
    asked = ("servers get teller", "why teller", "config show", "doctor")
    said += [ran(gateway, *words.split())[1] for words in asked]
    said += [gateway.log, texts_below(gateway.home / "logs")]
    assert "the password is" in "".join(said)
    assert [each for each in said if PASSWORD in each] == []
