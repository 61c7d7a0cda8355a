"""A world whose memory, services and addresses are what the test says."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed

from mcpgateway.config.model import ServerSpec
from mcpgateway.errors import BackendTimeout, NeedsLogin, Unreachable
from mcpgateway.hub.health.instruments import Instruments
from mcpgateway.policy.idling import OwnWork
from mcpgateway.policy.stuck_calls import ProcessActivity


@define
class MemoryWorld:
    """The measured values of processes, as a test sets them.

    :ivar status: what every service answers its health check with; 0: nothing in time.
    :ivar fetched: the URLs that were asked.
    :ivar answers: whether something listens at the addresses.
    :ivar dialled: the URLs whose addresses were tried.
    :ivar sizes: how much each child's tree takes.
    :ivar weighed: how often that was looked at.
    :ivar known: the servers that are known without a child.
    :ivar activities: what the processes of each child do; nothing, where it is not said.
    :ivar looks: whose processes were looked at.
    :ivar work: what children do without a request; they are not looked at, where it is not said.
    :ivar shortage: how short memory is, by the file of that name.
    :ivar asked: where the users of servers have to sign in.
    """

    status: int = 200
    fetched: list[str] = field(factory=list)
    answers: bool = False
    dialled: list[str] = field(factory=list)
    sizes: dict[int, int] = field(factory=dict)
    weighed: int = 0
    known: set[str] = field(factory=set)
    activities: dict[int, ProcessActivity] = field(factory=dict)
    looks: list[int] = field(factory=list)
    work: dict[int, OwnWork] = field(factory=dict)
    shortage: dict[str, str] = field(factory=dict)
    asked: dict[str, NeedsLogin] = field(factory=dict)

    @property
    def instruments(self) -> Instruments:
        """The gateway's instruments."""
        return Instruments(
            lambda: 0.5,
            self._fetch,
            self._dial,
            self._weigh,
            self._is_known,
            self._look,
            self._question,
            own_work=self.work.get,
            pressure=lambda file: self.shortage.get(file, ""),
        )

    def _fetch(self, url: str) -> Deferred[int]:
        self.fetched.append(url)
        return succeed(self.status) if self.status else fail(BackendTimeout("no answer"))

    def _dial(self, url: str) -> Deferred[None]:
        self.dialled.append(url)
        return succeed(None) if self.answers else fail(Unreachable("no connection"))

    def _weigh(self, pids: Collection[int]) -> Mapping[int, int]:
        self.weighed += 1
        return {pid: self.sizes[pid] for pid in pids if pid in self.sizes}

    def _look(self, pid: int) -> ProcessActivity:
        self.looks.append(pid)
        return self.activities.get(pid, ProcessActivity(is_stopped=False, cpu_s=0.0))

    def _is_known(self, server: ServerSpec) -> bool:
        return server.name in self.known

    def _question(self, server: ServerSpec) -> NeedsLogin | None:
        return self.asked.get(server.name)
