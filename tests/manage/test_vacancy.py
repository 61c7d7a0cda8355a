"""For how long nobody has used the gateway."""

from mcpgateway.manage.vacancy import IdleTime
from tests.support.gateway_in_memory import MemoryGateway
from tests.support.modern_client import hang_up, listen
from tests.support.view_stage import Stage, modern


class VacancyTests:
    """Seconds without use."""

    def test_nobody_ever(self):
        """The idle time of a gateway that nobody uses counts from its start."""
        vacancy = IdleTime(MemoryGateway().dispatcher)
        assert [vacancy.tick() for _ in range(4)] == [0, 1, 2, 3]

    def test_a_session(self):
        """While there is a session it is used, and not after its end."""
        gateway = MemoryGateway()
        vacancy = IdleTime(gateway.dispatcher)
        client = gateway.session()
        assert [vacancy.tick() for _ in range(3)] == [0, 0, 0]
        client.ask(b"", "DELETE")
        gateway.tick()
        assert [vacancy.tick() for _ in range(3)][-1] > 0

    def test_a_call_between_two_looks(self):
        """A call that came and went was use as well."""
        gateway = MemoryGateway()
        vacancy = IdleTime(gateway.dispatcher)
        vacancy.tick()
        client = gateway.session()
        client.call(1, "tools/call", name="x")
        gateway.child.answer(gateway.child.asked("tools/call")[0], {"content": []})
        client.ask(b"", "DELETE")
        assert len(gateway.sessions) == 0
        assert [vacancy.tick() for _ in range(3)] == [0, 1, 2]

    def test_listening_to_no_server(self):
        """A client that listens to all servers uses the gateway, though no server runs."""
        stage = Stage(modern("m"))
        vacancy = IdleTime(stage.gateway.dispatcher, lambda: stage.gateway.hub.is_heard)
        assert [vacancy.tick() for _ in range(3)][-1] > 0
        listen(client := stage.client(), toolsListChanged=True)
        assert [vacancy.tick() for _ in range(3)][-1] == 0
        hang_up(client)
        assert [vacancy.tick() for _ in range(3)][-1] > 0

    def test_anew(self):
        """The idle time can be made to count from the beginning."""
        vacancy = IdleTime(MemoryGateway().dispatcher)
        for _ in range(5):
            vacancy.tick()
        vacancy.begin()
        assert vacancy.tick() == 1
