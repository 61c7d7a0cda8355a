"""A proxy on this machine that writes down what it is asked for."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

HEAD_END = b"\r\n\r\n"


class Proxy:
    """Passes requests and connections on, whatever host they are for, to this machine.

    :ivar asked: the first line of each head, and its ``Proxy-Authorization``.
    :ivar refusal: a status that everybody gets instead.
    """

    def __init__(self, refusal: str = "") -> None:
        self.asked: list[tuple[str, str]] = []
        self.refusal = refusal
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        """The address of the proxy."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *why: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near:
            data = b""
            while HEAD_END not in data:
                if not (more := near.recv(65536)):
                    return
                data += more
            head, _, body = data.partition(HEAD_END)
            first, *lines = head.decode().split("\r\n")
            named = dict(each.split(": ", 1) for each in lines)
            self.asked.append((first, named.pop("Proxy-Authorization", "")))
            if self.refusal:
                near.sendall(f"HTTP/1.1 {self.refusal}\r\nContent-Length: 0\r\n\r\n".encode())
                return
            method, target, version = first.split(" ")
            is_tunnel = method == "CONNECT"
            authority, slash, path = target.removeprefix("http://").partition("/")
            with socket.create_connection(("127.0.0.1", int(authority.rpartition(":")[2]))) as far:
                if is_tunnel:
                    near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    # One request for each connection, so that the next one is seen, too.
                    kept = [f"{name}: {value}" for name, value in named.items()]
                    sent = [f"{method} {slash}{path} {version}", *kept, "Connection: close"]
                    far.sendall("\r\n".join(sent).encode() + HEAD_END + body)
                threading.Thread(target=self._pass_on, args=(near, far), daemon=True).start()
                self._pass_on(far, near)

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)
