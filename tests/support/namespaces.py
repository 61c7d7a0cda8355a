"""Machines of a test: network namespaces on one bridge, between which the network can be cut."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Sequence


def is_possible() -> bool:
    """Return whether this user can make network namespaces here."""
    if os.geteuid() != 0:
        return False
    name = f"mcpg-{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode:
        return False
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return True


class Network:
    """A bridge with one namespace for each machine; the test, and its store, are at two addresses of the bridge.

    :ivar store: the address of the store.
    :ivar client: the address of clients.
    """

    def __init__(self, names: Sequence[str]) -> None:
        mark = secrets.token_hex(2)
        self._bridge = f"br{mark}"
        subnet = f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(250)}"
        self.store, self.client = f"{subnet}.1", f"{subnet}.2"
        self._address = {name: f"{subnet}.{10 + at}" for at, name in enumerate(names)}
        self._space = {name: f"mcpg-{mark}-{name}" for name in names}
        self._rules: list[tuple[str, ...]] = []
        _ip("link", "add", self._bridge, "type", "bridge")
        for address in (self.store, self.client):
            _ip("addr", "add", f"{address}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        for at, name in enumerate(names):
            space, outer, inner = self._space[name], f"v{mark}{at}", f"w{mark}{at}"
            _ip("netns", "add", space)
            _ip("link", "add", outer, "type", "veth", "peer", "name", inner)
            _ip("link", "set", inner, "netns", space)
            _ip("link", "set", outer, "master", self._bridge, "up")
            self._in(name, "addr", "add", f"{self._address[name]}/24", "dev", inner)
            self._in(name, "link", "set", inner, "up")
            self._in(name, "link", "set", "lo", "up")

    def address(self, name: str) -> str:
        """Return the address of a machine."""
        return self._address[name]

    def run_in(self, name: str) -> tuple[str, ...]:
        """Return the beginning of a command line that runs a program on a machine."""
        return ("ip", "netns", "exec", self._space[name])

    def cut_from(self, address: str, name: str) -> None:
        """Let nothing come from an address of the test to a machine, silently."""
        rule = ("from", address, "to", self._address[name], "blackhole")
        _ip("rule", "add", *rule)
        self._rules.append(rule)

    def cut(self, one: str, other: str) -> None:
        """Let nothing pass between two machines."""
        for here, there in ((one, other), (other, one)):
            self._in(here, "rule", "add", "to", self._address[there], "blackhole")

    def heal(self) -> None:
        """Let everything pass again."""
        for rule in self._rules:
            _ip("rule", "del", *rule)
        self._rules.clear()
        for name in self._space:
            while self._in(name, "rule", "del", "type", "blackhole", check=False):
                pass

    def close(self) -> None:
        """Remove all of it."""
        self.heal()
        for space in self._space.values():
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", self._bridge], capture_output=True, check=False)

    def _in(self, name: str, *words: str, check: bool = True) -> bool:
        return _ip("-n", self._space[name], *words, check=check)


def _ip(*words: str, check: bool = True) -> bool:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"ip {' '.join(words)}: {done.stderr}")
    return done.returncode == 0
