"""The page on clusters: its steps, run for three nodes on loopback, end with a cluster behind HAProxy."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.balancers import Haproxy
from tests.support.cluster import LONG, Client
from tests.support.gateway import eventually
from tests.support.pages import DOCS, commands
from tests.support.ports import free_port
from tests.support.postgres import Postgres
from tests.support.user import User

PAGE = DOCS / "howto" / "cluster.rst"
BLOCK = re.compile(r"code-block:: (sh|yaml)\n\n((?: {6}.*\n|\n)+)")
ELSEWHERE = re.compile(r"^(?:sudo|pip|claude) ")
TOKEN, ADMIN = "t" * 48, "a" * 48
NODES = ("a", "b", "c")

pytestmark = pytest.mark.functional


class Printed(Haproxy):
    """HAProxy with the configuration that a command has printed."""

    def argv(self) -> list[str]:
        """Return the command line."""
        path = self.directory / "haproxy.cfg"
        text = path.read_text()
        assert "bind :9100" in text
        path.write_text(text.replace("bind :9100", f"bind 127.0.0.1:{self.port}"))
        return ["haproxy", "-db", "-f", str(path)]


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[dict[str, User]]:
    """Three users, each for a machine of the page."""
    made = {name: User(tmp_path / name) for name in NODES}
    try:
        for each in made.values():
            each.__enter__()
        yield made
    finally:
        for each in made.values():
            each.__exit__()


def filled(text: str, name: str, ports: dict[str, int]) -> str:
    """A file of the page for one machine."""
    lines = "\n".join(line[6:] for line in text.splitlines())
    lines = lines.replace("node: a", f"node: {name}").replace("10.0.0.1:9101", f"127.0.0.1:{ports[name]}")
    lines = lines.replace("10.0.0.1", "127.0.0.1").replace("command: python3", f"command: {sys.executable}")
    return lines.replace("=TOKEN", f"={TOKEN}").replace("=ADMIN-TOKEN", f"={ADMIN}")


@LONG
@pytest.mark.skipif(not shutil.which("haproxy"), reason="make cluster-tools installs it")
def test_steps(machines: dict[str, User], store: str, postgres: Postgres) -> None:
    """After the steps a client's session goes on through the balancer, also when its node is killed or drained."""
    text = PAGE.read_text()
    steps = text[text.index(".. _cluster-steps:") : text.index("Upgrading\n")]
    (environment,) = (body for kind, body in BLOCK.findall(steps) if kind == "sh")
    own, shared = (body for kind, body in BLOCK.findall(steps) if kind == "yaml")
    environment = re.sub(r"postgresql://\S+", store, environment)
    ports = {name: free_port() for name in NODES}
    typed = [
        each
        for each in commands(PAGE, start=".. _cluster-steps:", end="Upgrading\n")
        if not ELSEWHERE.search(each)
    ]
    key, start, status, print_haproxy, check = typed
    _run(machines["a"], key)
    for name, machine in machines.items():
        if name != "a":
            shutil.copy2(machines["a"].gateway_home / "cluster.key", machine.gateway_home / "cluster.key")
        machine.write(".mcp-gateway/node.env", filled(environment, name, ports))
        made = filled(own, name, ports)
        listens = f"gateway:\n  http_port: {machine.port}\n"
        machine.write(".mcp-gateway/node.yaml", made.replace("gateway:\n", listens, 1))
        if name == "a":
            machine.write(".mcp-gateway/config.yaml", filled(shared, name, ports))
        else:
            (machine.gateway_home / "config.yaml").unlink()
        _run(machine, start)
    eventually(lambda: _run(machines["c"], status).count("serving") == 3, "the nodes are listed")
    _run(machines["a"], print_haproxy)
    _run(machines["a"], f"PATH=$PATH:/usr/sbin {check}")
    balancer = Printed(machines["a"].work, {})
    try:
        before: Any = cast("Any", balancer.start())
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        eventually(lambda: _is_served(before, bearer), "the balancer has found the nodes")
        clients = [Client(before, "time", bearer) for _ in range(6)]
        machines["b"].kill_all()
        for each in clients:
            eventually(lambda client=each: client.post(before, "tools/list").status == 200, "it goes on")
        drain, _, _ = commands(PAGE, start="Upgrading\n", end="What a node needs\n")
        _run(machines["c"], drain)
        eventually(lambda: "draining" in _run(machines["a"], status), "the node is drained")
        for each in clients:
            eventually(lambda client=each: client.post(before, "tools/list").status == 200, "it goes on")
    finally:
        balancer.close()


def _run(machine: User, command: str) -> str:
    done = machine.ran("sh", "-euc", command)
    assert done.returncode == 0, f"{command}\n{done.returncode}\n{done.stdout}\n{done.stderr}\n{machine.log}"
    return done.stdout


def _is_served(before: Any, bearer: dict[str, str]) -> bool:
    try:
        Client(before, "time", bearer)
    except (AssertionError, OSError):
        return False
    return True
