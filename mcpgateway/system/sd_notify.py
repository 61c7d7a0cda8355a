"""Report the gateway's state to the service manager, by the protocol of sd_notify(3)."""

from __future__ import annotations

import socket
from collections.abc import MutableMapping
from time import monotonic_ns

from twisted.logger import Logger

from mcpgateway.system.reexec import MANAGER_VARIABLES

SOCKET_VARIABLE, WATCHDOG_VARIABLE, WATCHDOG_PID_VARIABLE = MANAGER_VARIABLES
SHORTEST_WATCHDOG_USEC = 2_000_000  # two heartbeats, which are a second apart
STATUS_BYTES = 200  # one line of `systemctl status`
STATES = frozenset({"READY", "RELOADING", "STOPPING"})


class Notify:
    """The service manager that started the gateway.

    Messages that could not be delivered are kept and sent with the next one: above all, ``READY`` is sent until it is
    delivered. Each key is kept once, so the memory is bounded.

    :ivar beats: the number of heartbeats between two messages for the watchdog; 0 where there is none.
    """

    log = Logger()

    def __init__(self, address: str, watchdog_usec: int = 0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._owed: dict[str, str] = {}
        self._status = ""
        self._count = 0
        self._is_deaf = False
        # Half of the watchdog's time, in heartbeats of a second each.
        self.beats = max(watchdog_usec // 2_000_000, 1) if watchdog_usec else 0

    @classmethod
    def taken(cls, environ: MutableMapping[str, str], pid: int) -> Notify | None:
        """Return the manager that the environment names, and remove the variables, so that no child inherits them.

        :param pid: the process id of the gateway.
        :return: None where the environment names none that can be reached.
        """
        address = environ.pop(SOCKET_VARIABLE, "")
        usec, whose = environ.pop(WATCHDOG_VARIABLE, ""), environ.pop(WATCHDOG_PID_VARIABLE, "")
        if not address:
            return None
        if address[0] not in "/@" or len(address) < 2:
            cls.log.warn(
                "{variable} names {address}, which is no Unix socket; no manager is told that the gateway is ready",
                event="notify.unknown_address",
                variable=SOCKET_VARIABLE,
                address=address,
            )
            return None
        is_ours = whose in {"", str(pid)} and usec.isascii() and usec.isdigit()
        return cls(address, cls._watchdog(int(usec)) if is_ours else 0)

    @classmethod
    def _watchdog(cls, usec: int) -> int:
        if 0 < usec < SHORTEST_WATCHDOG_USEC:
            cls.log.warn(
                "the watchdog waits {usec} µs only; it should wait 2 s or more",
                event="notify.short_watchdog",
                usec=usec,
            )
        return usec

    def ready(self, status: str) -> None:
        """Report that the gateway serves."""
        self._tell({"READY": "1", **self._changed(status)})

    def reloading(self) -> None:
        """Report that other settings are being applied; `ready` reports the end of that."""
        self._tell({"RELOADING": "1", "MONOTONIC_USEC": str(monotonic_ns() // 1000)})

    def beat(self, status: str) -> None:
        """Count a heartbeat: notify the watchdog when that is due, and report a status that has changed."""
        self._count += 1
        changes = self._changed(status)
        if self.beats and self._count % self.beats == 0:
            changes["WATCHDOG"] = "1"
        if changes or self._owed:
            self._tell(changes)

    def stopping(self, status: str) -> None:
        """Report that the gateway is about to end."""
        self._tell({"STOPPING": "1", **self._changed(status)})

    def _changed(self, status: str) -> dict[str, str]:
        if status == self._status:
            return {}
        self._status = status
        line = " ".join(status.split()).encode()[:STATUS_BYTES]
        return {"STATUS": line.decode(errors="ignore")}

    def _tell(self, changes: dict[str, str]) -> None:
        if changes.keys() & STATES:
            # Of undelivered states only the last one counts.
            self._owed = {key: value for key, value in self._owed.items() if key == "STATUS"}
        self._owed |= changes
        message = "\n".join(f"{key}={value}" for key, value in self._owed.items())
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError as why:
            self._unheard(why)
        else:
            self._owed, self._is_deaf = {}, False

    def _unheard(self, why: OSError) -> None:
        if not self._is_deaf:
            self._is_deaf = True
            self.log.warn(
                "the service manager could not be told: {why}", event="notify.unheard", why=why.strerror
            )
