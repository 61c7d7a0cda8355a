"""The load balancers of the directory ``deploy`` before nodes of tests."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.support.gateway import LIMIT_S, eventually
from tests.support.ports import free_port

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
NODES = ("a", "b", "c")


class Balancer:
    """A load balancer with the configuration of the nodes a, b and c in the directory ``deploy``.

    :cvar program: its program.
    :ivar port: its port, on loopback.
    """

    program = ""

    def __init__(self, directory: Path, ports: Mapping[str, int]) -> None:
        self.port = free_port()
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._ports = ports
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"http://127.0.0.1:{self.port}"

    def argv(self) -> list[str]:
        """Write the configuration; return the command line."""
        raise NotImplementedError

    def configured(self, text: str, listens: str, place: str) -> str:
        """Return a configuration with the addresses of these nodes and of this balancer."""
        for at, name in enumerate(NODES, 1):
            text = text.replace(f"10.0.0.{at}:9100", f"127.0.0.1:{self._ports[name]}")
        assert text.count(listens) == 1
        return text.replace(listens, place)

    def start(self) -> Self:
        """Start it and wait until it listens."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory
            )
        eventually(self._listens, "the balancer listens")
        return self

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self) -> None:
        """End it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Haproxy(Balancer):
    """HAProxy."""

    program = "haproxy"

    def argv(self) -> list[str]:
        """Write the configuration; return the command line."""
        path = self.directory / "haproxy.cfg"
        text = (DEPLOY / "haproxy" / "mcpgateway.cfg").read_text()
        path.write_text(self.configured(text, "bind :9100", f"bind 127.0.0.1:{self.port}"))
        return ["haproxy", "-db", "-f", str(path)]


class Nginx(Balancer):
    """The server nginx, with what Debian's own configuration has around the file of the directory."""

    program = "nginx"

    def argv(self) -> list[str]:
        """Write the configuration; return the command line."""
        text = (DEPLOY / "nginx" / "mcpgateway.conf").read_text()
        site = self.directory / "mcpgateway.conf"
        site.write_text(self.configured(text, "listen 9100;", f"listen 127.0.0.1:{self.port};"))
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = "".join(f"  {kind}_temp_path {self.directory}/{kind};\n" for kind in kinds)
        path = self.directory / "nginx.conf"
        path.write_text(
            f"user {_user()};\npid {self.directory}/pid;\nerror_log stderr;\nworker_processes 1;\n"
            f"events {{ worker_connections 512; }}\n"
            f"http {{\n  access_log off;\n{places}  include {site};\n}}\n"
        )
        return ["nginx", "-c", str(path), "-g", "daemon off;"]


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name
