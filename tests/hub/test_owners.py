"""Owners of sessions, and the end of an owner."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mcpgateway.frontends.http.peers import HttpPeer
from mcpgateway.policy.access import Reach
from mcpgateway.system.journal import Journal
from tests.support.gateway_in_memory import Client, MemoryGateway

INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}}


@pytest.fixture
def gateway() -> MemoryGateway:
    """A gateway with one shared and one stateful server."""
    return MemoryGateway()


def client_of(gateway: MemoryGateway, *, pid: int = 0, inode: int = 0, **headers: str) -> Client:
    """A client whose connection tells this of itself."""
    gateway.factory.shared.introduce = lambda transport: HttpPeer(
        transport.getPeer(), Reach.LOOPBACK, pid, inode
    )
    return gateway.client(**{name.replace("_", "-"): value for name, value in headers.items()})


def owners(gateway: MemoryGateway) -> list[int | None]:
    """The owners of all sessions in use."""
    return [session.owner for session in gateway.sessions]


class ClaimTests:
    """Processes that become owners."""

    def test_whoever_holds_the_connection(self, gateway: MemoryGateway) -> None:
        """The owner is looked for as soon as the session begins, once for each connection."""
        gateway.processes.sockets |= {11: 501, 12: 502}
        for inode in (11, 12, 13, 11):
            client_of(gateway, inode=inode).initialize(**INITIALIZE)
        assert owners(gateway) == [501, 502, None, 501]
        gateway.tick(3)
        assert gateway.processes.searches == [{11}, {12}, {13}]

    def test_a_search_that_goes_on(self, gateway: MemoryGateway) -> None:
        """Connections that come during a search are looked for together; a session need not wait."""
        gateway.processes.sockets |= {11: 501, 12: 502, 13: 503}
        searches: list[tuple[set[int], Deferred[dict[int, int]]]] = []

        def holders(inodes: Collection[int]) -> Deferred[dict[int, int]]:
            searches.append((set(inodes), Deferred()))
            return searches[-1][1]

        gateway.owners._holders = holders
        for inode in (11, 12, 13):
            client_of(gateway, inode=inode).initialize(**INITIALIZE)
        gateway.tick()
        assert [each for each, _ in searches] == [{11}]
        searches[0][1].callback({11: 501})
        assert owners(gateway) == [501, None, None]
        gateway.tick()
        assert [each for each, _ in searches] == [{11}, {12, 13}]
        searches[1][1].errback(OSError("it cannot be looked at"))
        assert owners(gateway) == [501, None, None]

    def test_the_search_outlives_them(self, gateway: MemoryGateway) -> None:
        """An owner that is found after the gateway has stopped looking is of no interest."""
        late: Deferred[dict[int, int]] = Deferred()
        gateway.owners._holders = lambda _: late
        client_of(gateway, inode=11).initialize(**INITIALIZE)
        gateway.owners.close()
        late.callback({11: 501})
        assert owners(gateway) == [None]

    def test_on_a_unix_socket(self, gateway: MemoryGateway) -> None:
        """The kernel tells the process with the connection."""
        client_of(gateway, pid=501).initialize(**INITIALIZE)
        assert owners(gateway) == [501]

    def test_one_process_for_each_request(self, gateway: MemoryGateway) -> None:
        """A session that is used by one short program after the other stays, and keeps the child that was called."""
        first = client_of(gateway, pid=501)
        first.path = "/own/mcp"
        first.initialize(**INITIALIZE)
        gateway.processes.exit(501)
        gateway.tick()
        for pid in (502, 503, 504):
            again = client_of(gateway, pid=pid, **first.headers)
            again.path = "/own/mcp"
            again.call(1)
            gateway.child.answer(gateway.child.asked("tools/call")[-1], {})
            gateway.processes.exit(pid)
            gateway.tick()
        assert owners(gateway) == [None]
        assert len(gateway.launcher.children) == 2
        assert len(gateway.child.asked("tools/call")) == 3

    @pytest.mark.parametrize(
        ("info", "headers", "owner"),
        [
            ({"pid": 77}, {}, 77),
            ({"pid": 77}, {"X_Client_Pid": "78"}, 78),
            ({}, {"X_Client_Pid": "78"}, 78),
            ({}, {"X_Client_Pid": "99"}, 501),
            ({"pid": 99}, {}, 501),
            ({"pid": "77"}, {"X_Client_Pid": "none"}, 501),
            ({"pid": -1}, {"X_Client_Pid": "0"}, 501),
            ({"pid": 2**40}, {"X_Client_Pid": "9" * 30}, 501),
            ({"pid": os.getpid()}, {}, 501),
        ],
    )
    def test_what_the_client_says(
        self, gateway: MemoryGateway, info: dict[str, Any], headers: dict[str, str], owner: int
    ) -> None:
        """The client's own word comes first; nonsense, dead processes and the gateway itself do not count."""
        gateway.processes.dead.add(99)
        gateway.processes.sockets[11] = 501
        client_of(gateway, inode=11, **headers).initialize(**INITIALIZE, clientInfo={"name": "c", **info})
        gateway.tick()
        assert owners(gateway) == [owner]

    def test_from_another_machine(self, gateway: MemoryGateway) -> None:
        """A number of its processes means nothing here."""
        gateway.factory.shared.introduce = lambda transport: HttpPeer(transport.getPeer(), Reach.REMOTE)
        client = gateway.client(**{"X-Client-Pid": "77", "Authorization": "Bearer bearer-token"})
        assert client.initialize(**INITIALIZE).status == 403
        assert owners(gateway) == []

    def test_a_caller_that_has_gone(self, gateway: MemoryGateway) -> None:
        """A program that lived only for one request leaves a session without an owner."""
        gateway.processes.sockets[11] = 501
        gateway.processes.dead.add(501)
        client_of(gateway, inode=11).initialize(**INITIALIZE)
        gateway.tick()
        assert owners(gateway) == [None]
        assert gateway.processes.watched == {}

    def test_a_session_that_ended_meanwhile(self, gateway: MemoryGateway) -> None:
        """A session that has ended gets no owner."""
        gateway.processes.sockets[11] = 501
        client = client_of(gateway, inode=11)
        client.initialize(**INITIALIZE)
        client.ask(b"", "DELETE")
        gateway.owners.tidy()
        assert gateway.processes.watched == {}

    def test_calls_look_for_nobody(self, gateway: MemoryGateway) -> None:
        """Once it is known that there is no owner, no later request asks again."""
        client = client_of(gateway, inode=11)
        client.initialize(**INITIALIZE)
        gateway.tick()
        gateway.processes.sockets[11] = 501
        client.call(1, "ping")
        gateway.tick()
        assert owners(gateway) == [None]


class BriefTests:
    """Programs that live for a moment."""

    def own(self, gateway: MemoryGateway, **caller: Any) -> Client:
        """A client with a session, and a child of its own."""
        client = client_of(gateway, **caller)
        client.path = "/own/mcp"
        client.initialize(**INITIALIZE)
        return client

    def test_one_that_only_looks(self, gateway: MemoryGateway) -> None:
        """The session of a program that only looks ends with it, and its child too: no work could be lost."""
        gateway.processes.sockets[11] = 501
        client = self.own(gateway, inode=11)
        client.call(1, "tools/list")
        gateway.processes.exit(501)
        assert len(gateway.sessions) == 0
        assert gateway.child.is_stopping

    def test_one_that_has_gone_already(self, gateway: MemoryGateway) -> None:
        """A session whose process is not found any more ends at the next look, where it was never used."""
        for inode in (11, 12):
            client = self.own(gateway, inode=inode)
        client.call(1)
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        assert gateway.reaper.look_around() == 1
        assert [bool(each.is_stopping) for each in gateway.launcher.children] == [True, False]

    def test_one_of_which_nothing_is_known(self, gateway: MemoryGateway) -> None:
        """Where it cannot be seen who began it, silence decides, for as long as is said."""
        self.own(gateway)
        gateway.tick(50)
        assert gateway.reaper.look_around(51) == 0
        assert gateway.reaper.look_around(50) == 1

    def test_one_that_was_named(self, gateway: MemoryGateway) -> None:
        """A session whose client has said which process it belongs to ends with that, however soon."""
        client = self.own(gateway, X_Client_Pid="501")
        client.call(1)
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        gateway.processes.exit(501)
        assert len(gateway.sessions) == 0

    def test_one_that_lives_on(self, gateway: MemoryGateway) -> None:
        """A program that has lived for a while takes its session along, whatever it did."""
        gateway.processes.sockets[11] = 501
        client = self.own(gateway, inode=11)
        gateway.tick(10)
        client.call(1)
        gateway.child.answer(gateway.child.asked("tools/call")[0], {})
        gateway.processes.exit(501)
        assert len(gateway.sessions) == 0


class RevivalTests:
    """Owners of sessions that were put aside, or that an earlier gateway had."""

    def revived(self, gateway: MemoryGateway, client: Client, inode: int) -> MemoryGateway:
        """The next gateway, at which the client has used its session."""
        following = MemoryGateway(store=gateway.store, processes=gateway.processes)
        again = client_of(following, inode=inode, **client.headers)
        assert again.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}).status == 200
        following.tick()
        return following

    def test_still_there(self, gateway: MemoryGateway) -> None:
        """The owner on record is watched again."""
        client = client_of(gateway, X_Client_Pid="77")
        client.initialize(**INITIALIZE)
        gateway.processes.watched.clear()
        gateway.processes.sockets[12] = 502
        following = self.revived(gateway, client, 12)
        assert owners(following) == [77]
        assert set(gateway.processes.watched) == {77}

    def test_gone(self, gateway: MemoryGateway) -> None:
        """Where it has gone the session belongs to whoever uses it now, and that is on record."""
        client = client_of(gateway, X_Client_Pid="77")
        client.initialize(**INITIALIZE)
        gateway.processes.dead.add(77)
        gateway.processes.sockets[12] = 502
        following = self.revived(gateway, client, 12)
        assert owners(following) == [502]
        assert following.reaper.look_around() == 0
        assert owners(self.revived(following, client, 0)) == [502]


class EndTests:
    """The end of an owner."""

    def test_at_once(self, gateway: MemoryGateway) -> None:
        """The sessions of an ended owner are put aside, children and streams with them; those of others are left."""
        clients = [client_of(gateway, X_Client_Pid=pid) for pid in ("77", "77", "78")]
        for client in clients:
            client.path = "/own/mcp"
            client.initialize(**INITIALIZE)
        ears = gateway.listen(clients[0])
        gateway.processes.exit(77)
        assert owners(gateway) == [78]
        assert ears.transport.taken.endswith(b"0\r\n\r\n")
        assert [bool(slot.pid) for slot in gateway.dispatcher.pool].count(True) == 1

    def test_its_ids_stay_good(self, gateway: MemoryGateway) -> None:
        """A client that goes on with a session of the owner gets it back, and keeps it."""
        client = client_of(gateway, X_Client_Pid="77")
        client.initialize(**INITIALIZE)
        gateway.processes.exit(77)
        for _ in range(2):
            assert client.ask({"jsonrpc": "2.0", "id": 1, "method": "ping"}).status == 200
            assert gateway.reaper.look_around() == 0
        assert owners(gateway) == [None]

    def test_watched_once(self, gateway: MemoryGateway) -> None:
        """However many sessions it has; and no longer than it has any."""
        clients = [client_of(gateway, X_Client_Pid="77") for _ in range(2)]
        for client in clients:
            client.initialize(**INITIALIZE)
        assert list(gateway.processes.watched) == [77]
        clients[0].ask(b"", "DELETE")
        gateway.owners.tidy()
        assert list(gateway.processes.watched) == [77]
        clients[1].ask(b"", "DELETE")
        gateway.owners.tidy()
        assert gateway.processes.watched == {}

    def test_closing(self, gateway: MemoryGateway) -> None:
        """A gateway that stops watches nobody and looks for nobody."""
        client_of(gateway, X_Client_Pid="77").initialize(**INITIALIZE)
        client_of(gateway, inode=11).initialize(**INITIALIZE)
        gateway.processes.sockets[11] = 501
        gateway.owners.close()
        gateway.tick()
        assert gateway.processes.watched == {}
        assert owners(gateway) == [77, None]

    def test_what_is_on_record(self) -> None:
        """An owner that was found later is on record as one that was said."""
        store = Journal(":memory:", lambda: 1_700_000_000.0)
        gateway = MemoryGateway(store=store)
        gateway.processes.sockets[11] = 501
        client_of(gateway, inode=11).initialize(**INITIALIZE)
        (session,) = gateway.sessions
        assert session.issued is not None
        record = store.find(session.issued.serial)
        assert record is not None
        assert record.owner == 501
        assert b"2025-11-25" in record.params
