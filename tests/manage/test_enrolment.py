"""When clients' own files are gone through."""

import pytest
from attrs import evolve
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from mcpgateway.config.gateway_settings import Adopt, ClientSettings, GatewaySettings
from mcpgateway.config.model import ClientFile
from mcpgateway.config.settings import Settings
from mcpgateway.errors import ClientFilesFailed
from mcpgateway.manage.enrolment import AGAIN_S, TRIES, Enrolment

FILE = ClientFile("claude-code", "Claude Code", "/home/me/.claude.json", "http")


class World:
    """An enrolment whose helper program is the test."""

    def __init__(self, *unsettled, **clients):
        self.clock = Clock()
        self.asked = []
        self.running = []
        self.reads = 0
        self.settings = Settings(
            GatewaySettings(),
            (),
            clients=ClientSettings(**clients),
            adopted=(replace(FILE, unsettled=unsettled),),
        )
        self.after = None
        self.has_instructions = False
        self.enrolment = Enrolment(self.ask, self.clock, self.read, lambda: self.has_instructions)

    def ask(self, *words):
        self.asked.append(" ".join(words))
        done = Deferred()
        self.running.append(done)
        return done

    def read(self):
        self.reads += 1
        if self.after is not None:
            self.now(*self.after)

    def begin(self, *, adopts=None):
        """The gateway listens."""
        self.enrolment.begin(self.settings, adopts=adopts)
        return self

    def now(self, *unsettled, **fields):
        """The files were read again."""
        file = replace(FILE, unsettled=unsettled, **fields)
        self.settings = evolve(self.settings, adopted=(file,))
        self.enrolment.look(self.settings)

    def done(self, *after):
        """The helper ends, and has left this."""
        self.after = after
        self.running.pop(0).callback({})

    def failed(self, *after):
        """The helper fails."""
        self.after = after
        self.running.pop(0).errback(ClientFilesFailed("the disk is full"))


class SyncTests:
    def test_nothing_to_do(self):
        """Files as they were left are left alone."""
        world = World().begin()
        world.now()
        assert world.asked == []

    def test_addition(self):
        """An entry that a client adds is handled at once, and the file is read again afterwards."""
        world = World().begin()
        world.now("b is new")
        assert world.asked == ["sync"]
        world.done()
        assert world.reads == 1
        assert world.asked == ["sync"]

    @pytest.mark.parametrize(("thing", "is_told"), [("b is new", True), (None, False)])
    def test_told(self, thing, *, is_told):
        """The log names an entry that was enrolled unasked, and the switch; a file that is resumed is no news."""
        world = World().begin()
        world.now(*([thing] if thing else []), suspended="" if thing else "away")
        with capturedLogs() as capture:
            world.running.pop(0).callback({"files": [{"path": FILE.path, "adopted": {"b": "b"}}]})
        told = [formatEvent(each) for each in capture if each.get("event") == "clients.enrolled"]
        assert bool(told) is is_told
        assert all(
            "/home/me/.claude.json: b was added" in each and "clients.watch=false" in each for each in told
        )

    def test_at_the_start(self):
        """Changes from before the start are handled when the gateway listens, and not before."""
        world = World("b is new")
        world.enrolment.look(world.settings)
        assert world.asked == []
        assert world.begin().asked == ["sync"]

    def test_one_at_a_time(self):
        """Changes while the helper runs are handled once afterwards, however many they are."""
        world = World().begin()
        world.now("b")
        world.now("b", "c")
        world.now("b", "c", "d")
        assert world.asked == ["sync"]
        world.done("c", "d")
        assert world.asked == ["sync", "sync"]
        world.done()
        assert world.asked == ["sync", "sync"]

    def test_what_cannot_be_led_here(self):
        """An entry that cannot be enrolled does not start the helper over and over."""
        world = World().begin()
        world.now("b cannot be")
        world.done("b cannot be")
        world.now("b cannot be")
        assert world.asked == ["sync"]
        world.now("b cannot be", "c")
        assert world.asked == ["sync", "sync"]

    def test_back_again(self):
        """An entry that went away and came back is handled anew."""
        world = World().begin()
        world.now("b")
        world.done("b")
        world.now()
        world.now("b")
        assert world.asked == ["sync", "sync"]

    def test_given_back_while_away(self):
        """Files that were given back because the gateway was away are led here again, even unwatched."""
        world = World(watch=False)
        world.settings = evolve(world.settings, adopted=(replace(FILE, suspended="away"),))
        assert world.begin().asked == ["sync"]

    @pytest.mark.parametrize("why", ["disabled", "stopped"])
    def test_suspended(self, why):
        """Files that were given back on purpose stay so."""
        world = World().begin()
        world.now(suspended=why)
        assert world.asked == []

    @pytest.mark.parametrize("clients", [{"watch": False}, {"adopt": Adopt.NEVER}])
    def test_switched_off(self, clients):
        """The helper is not started where the configuration says so."""
        world = World("b", **clients).begin()
        world.now("b", "c")
        assert world.asked == []


class InstructionTests:
    def test_facts(self):
        """The texts for agents are updated once at the start, and once for each change of what they tell of."""
        world = World()
        world.has_instructions = True
        world.begin()
        assert world.asked == ["sync"]
        world.done()
        world.now()
        assert world.asked == ["sync"]
        world.settings = evolve(world.settings, gateway=evolve(world.settings.gateway, http_port=1))
        world.enrolment.look(world.settings)
        assert world.asked == ["sync", "sync"]

    def test_none(self):
        """Where no texts are installed, nothing is run for them."""
        assert World().begin().asked == []


class AdoptTests:
    def test_always(self):
        """``clients.adopt: always`` leads all clients here when the gateway starts, once."""
        world = World(adopt=Adopt.ALWAYS).begin()
        assert world.asked == ["apply --yes"]
        world.done()
        world.now()
        assert world.asked == ["apply --yes"]

    def test_option(self):
        """The option of the command line enrols at the start."""
        assert World().begin(adopts=Adopt.ALWAYS).asked == ["apply --yes"]


class TroubleTests:
    def test_again_later(self, capture):
        """A failure is told in one line, and tried again after a while, ever more rarely, and then no more."""
        world = World().begin()
        world.now("b")
        for count in range(1, TRIES):
            world.failed("b")
            world.clock.advance(5.0 * 2 ** (count - 1) - 1)
            assert len(world.asked) == count
            world.clock.advance(1)
            assert len(world.asked) == count + 1
        world.failed("b")
        world.clock.advance(100_000)
        assert len(world.asked) == TRIES
        assert [each["event"] for each in capture] == ["clients.failed"] * TRIES
        assert "the disk is full" in str(capture[0]["why"])

    def test_news_does_not_wait(self, capture):
        """A change during a pause is handled at once."""
        world = World().begin()
        world.now("b")
        world.failed("b")
        world.now("b", "c")
        assert len(world.asked) == 2
        world.done()
        world.clock.advance(100_000)
        assert len(world.asked) == 2

    def test_close(self, capture):
        """The helper is not started when the gateway stops."""
        world = World().begin()
        world.now("b")
        world.failed("b")
        world.enrolment.close()
        world.clock.advance(100_000)
        world.now("b", "c")
        assert len(world.asked) == 1
        assert world.clock.getDelayedCalls() == []

    def test_bug(self, capture):
        """A fault of ours ends neither the gateway nor the next look."""
        world = World().begin()
        world.now("b")
        world.running.pop(0).errback(RuntimeError("a bug"))
        world.now("b", "c")
        assert len(world.asked) == 2
        assert [each["event"] for each in capture] == ["clients.broken"]


@pytest.fixture
def capture():
    """The logged events."""
    with capturedLogs() as logged:
        yield logged


class PauseTests:
    def test_an_end(self):
        """A pause of the clients ends when its time is over; until then nothing is done."""
        world = World()
        world.settings = evolve(world.settings, paused_until=100.0)
        world.begin()
        world.clock.advance(99)
        assert world.asked == []
        world.clock.advance(1)
        assert world.asked == ["enable"]

    def test_an_end_while_no_gateway_ran(self):
        """A pause whose time is over ends at the next start."""
        world = World()
        world.clock.advance(500)
        world.settings = evolve(world.settings, paused_until=100.0)
        assert world.begin().asked == ["enable"]

    def test_a_file_that_stays(self):
        """A file that cannot be enrolled at the end of a pause is tried again after a while, and not at once."""
        world = World()
        world.settings = evolve(world.settings, paused_until=100.0)
        world.begin()
        world.clock.advance(100)
        world.done(*())
        world.clock.advance(AGAIN_S - 1)
        assert world.asked == ["enable"]
        world.clock.advance(1)
        assert world.asked == ["enable", "enable"]

    def test_a_pause_that_is_ended_by_hand(self):
        """The end of a pause that its user has ended or made longer is not waited for."""
        world = World()
        world.settings = evolve(world.settings, paused_until=100.0)
        world.begin()
        world.settings = evolve(world.settings, paused_until=200.0)
        world.now()
        world.clock.advance(150)
        assert world.asked == []
        world.settings = evolve(world.settings, paused_until=0.0)
        world.now()
        world.clock.advance(150)
        assert world.asked == []

    def test_a_gateway_that_ends(self):
        """A gateway that ends leaves the end of a pause to the next one."""
        world = World()
        world.settings = evolve(world.settings, paused_until=100.0)
        world.begin()
        world.enrolment.close()
        world.clock.advance(200)
        assert world.asked == []
        assert world.clock.getDelayedCalls() == []
