"""Servers in containers: with an engine that runs them where there is one, and with the real command line of Docker."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from mcpgateway.backends.container import HOME_LABEL, reap_containers
from mcpgateway.backends.factory import Backends
from mcpgateway.backends.spawn import Launcher
from mcpgateway.config.reach_settings import Container
from mcpgateway.errors import LaunchFailed
from mcpgateway.interfaces import GatewayRun, Launch
from mcpgateway.system.daemon_locks import DaemonLocks
from mcpgateway.system.oauth_tokens import OAuthTokenFiles
from mcpgateway.system.process.children import ChildGuard
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.orphans import ChildRegistry
from mcpgateway.system.process.processes import bearing
from mcpgateway.system.process.procfs import is_alive
from mcpgateway.system.process.socket_owners import SocketSearch
from tests.contracts.talk import Talk, until
from tests.support import engines
from tests.support.engines import Engine
from tests.support.processes import command_line
from tests.support.recorded_engine import RecordedEngine

pytestmark = pytest.mark.functional

SERVER = Path(__file__).parent.parent / "servers" / "fixture_server.py"
SECRET = "a secret of the test"


class House:
    """As much of a gateway as containers need."""

    def __init__(self, home: Path) -> None:
        self.home = str(home)
        self.instance = f"containers{os.getpid()}x{os.urandom(4).hex()}"
        self.guardian = Guardian(reactor, self.instance)
        self.programs = Launcher(reactor, ChildGuard(ChildRegistry(self.home, self.instance), self.guardian))
        self.backends = Backends(
            reactor,
            self.programs,
            OAuthTokenFiles(self.home),
            str,
            GatewayRun(self.home, self.instance),
            lambda: DaemonLocks(self.home, self.home, SocketSearch(reactor)),
        )

    async def talk(self, launch: Launch) -> Talk:
        """Begin a conversation."""
        return Talk(self.backends.launch, await self.backends.prepare(launch))

    @property
    def processes(self) -> list[int]:
        """The processes of this gateway that still run."""
        return [pid for pid in bearing(f"MCPGATEWAY_INSTANCE={self.instance}") if is_alive(pid)]

    def kill(self) -> None:
        """End as if the gateway had been killed."""
        for pid in self.processes:
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A gateway of the test's own."""
    made = House(tmp_path)
    yield made
    made.guardian.stop()
    made.kill()


@pytest.fixture
def engine(house: House) -> Iterator[Engine]:
    """An engine that runs containers; what the test has left there is removed."""
    found = engines.real()
    if found is None:
        pytest.skip("no engine runs containers here")
    yield found
    for name in found.named(f"{HOME_LABEL}={house.home}"):
        found.run("rm", "--force", name)


def launch(engine: Engine, *flags: str, options: tuple[str, ...] = (), **env: str) -> Launch:
    """The fixture in a container."""
    argv, needed = engine.server(SERVER, *flags)
    usual = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **engine.env}
    named = [word for name in env for word in ("-e", name)]
    reach = Container(engine.image, engine.program, (*needed, *options, *named))
    return Launch("boxed", tuple(argv), {**usual, **env}, "/", reach)


def command_lines(pids: list[int]) -> str:
    """The command lines of processes, which every user may read."""
    return "".join(command_line(pid).decode() for pid in pids)


class RealTests:
    """With an engine."""

    @pytest_twisted.ensureDeferred
    async def test_life(self, house: House, engine: Engine) -> None:
        """A container is named and labelled, and has gone when the server is stopped."""
        talk = await house.talk(launch(engine))
        await talk.meet()
        (name,) = engine.named(f"{HOME_LABEL}={house.home}")
        assert name.startswith("mcpgateway-boxed-")
        assert name in engine.named("mcpgateway.server=boxed")
        assert engine.named(f"mcpgateway.instance={house.instance}") == [name]
        await talk.backend.stop()
        assert len(talk.ends) == 1
        assert not engine.named(f"{HOME_LABEL}={house.home}")
        assert not house.processes

    @pytest.mark.parametrize("how", ["kill", "stop"])
    @pytest_twisted.ensureDeferred
    async def test_a_stubborn_server(self, house: House, engine: Engine, how: str) -> None:
        """A server that ignores everything goes with its container, even when its command line is killed."""
        talk = await house.talk(launch(engine, "--stubborn"))
        await talk.meet()
        if how == "kill":
            talk.backend.kill()
            await until(lambda: talk.ends, "its end is told")
        await talk.backend.stop()
        assert len(talk.ends) == 1
        assert not engine.named(f"{HOME_LABEL}={house.home}")

    @pytest_twisted.ensureDeferred
    async def test_environment(self, house: House, engine: Engine) -> None:
        """A container gets the variables that are its own and no others, and no command line shows their values."""
        options = ("-it", "--rm", "--name", "mine", "-e", f"TOKEN={SECRET}", "--env=PLAIN", "--hostname=box")
        how = launch(engine, options=options, KEY=SECRET, HOME="/tmp", PATH="/usr/bin:/bin")
        how.env["STRAY"] = SECRET
        how.env["PLAIN"] = "plain"
        talk = await house.talk(how)
        await talk.meet()
        for name, value in (("KEY", SECRET), ("TOKEN", SECRET), ("PLAIN", "plain"), ("HOME", "/tmp")):
            assert value in await talk.call("env", name=name)
        names = await talk.call("env")
        assert "STRAY" not in names
        assert "MCPGATEWAY" not in names
        assert SECRET not in command_lines(house.processes)
        assert engine.named(f"{HOME_LABEL}={house.home}") != ["mine"]
        await talk.backend.stop()

    @pytest_twisted.ensureDeferred
    async def test_leftovers(self, house: House, engine: Engine, tmp_path: Path) -> None:
        """Containers that a killed gateway has left are removed by the next one of its home; living ones are not."""
        other = House(tmp_path)
        mine = await house.talk(launch(engine))
        theirs = await other.talk(launch(engine, "--stubborn"))
        await mine.meet()
        await theirs.meet()
        living = [house.instance, other.instance]
        boxed = [launch(engine), launch(engine)]
        assert await reap_containers(reactor, house.programs, boxed, house.home, living) == []
        (name,) = engine.named(f"mcpgateway.instance={other.instance}")
        found = await reap_containers(reactor, house.programs, boxed, house.home, living[:1])
        assert found == [f"container {name}"]
        assert engine.named(f"{HOME_LABEL}={house.home}") == engine.named(
            f"mcpgateway.instance={house.instance}"
        )
        assert await mine.call("echo", text="still here") == "still here"
        await mine.backend.stop()
        await theirs.backend.stop()
        other.guardian.stop()

    @pytest_twisted.ensureDeferred
    async def test_no_such_image(self, house: House, engine: Engine) -> None:
        """An image that cannot be had is told in the engine's own words."""
        how = launch(engine)
        lost = Container("localhost/no-such-image:1", engine.program, ("--network=none",))
        talk = await house.talk(Launch("boxed", how.argv, how.env, "/", lost))
        await until(lambda: talk.ends, "its end is told")
        assert "could not run the container" in talk.ends[0].fault
        assert "no-such-image" in talk.ends[0].last_words
        await talk.backend.stop()


class AbsentTests:
    """Without an engine."""

    @pytest_twisted.ensureDeferred
    async def test_none_installed(
        self, house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where no command line is installed, the error says what is looked for and where."""
        how = Launch("boxed", (), {"PATH": str(tmp_path)}, "/", Container("image"))
        with pytest.raises(LaunchFailed, match="boxed: neither 'docker' nor 'podman' was found") as why:
            await house.talk(how)
        assert str(tmp_path) in why.value.hint
        named = Launch("boxed", (), {"PATH": str(tmp_path)}, "/", Container("image", "nerdctl"))
        with pytest.raises(LaunchFailed, match="'nerdctl' was not found"):
            await house.talk(named)
        bad = Launch("boxed", (), {"PATH": os.environ["PATH"]}, "/", Container("--privileged"))
        with pytest.raises(LaunchFailed, match="no name of an image"):
            await house.talk(bad)

    @pytest.mark.skipif(shutil.which("docker") is None, reason="the command line of Docker is not installed")
    @pytest_twisted.ensureDeferred
    async def test_no_engine(self, house: House, tmp_path: Path) -> None:
        """A command line whose engine does not answer says so."""
        env = {"PATH": os.environ["PATH"], "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
        talk = await house.talk(Launch("boxed", (), env, "/", Container("image", "docker")))
        await until(lambda: talk.ends, "its end is told")
        assert talk.ends[0].fault.startswith("docker is installed, but its engine does not answer")
        await talk.backend.stop()


@pytest.mark.skipif(shutil.which("docker") is None, reason="the command line of Docker is not installed")
class RecordedTests:
    """With the real command line of Docker, and an engine whose part is played from a record."""

    @pytest.fixture
    def recorded(self, tmp_path: Path) -> Iterator[RecordedEngine]:
        """An engine on a socket of its own."""
        with RecordedEngine(tmp_path / "engine.sock") as playing:
            yield playing

    def launch(self, recorded: RecordedEngine, image: str = "there:1", **env: str) -> Launch:
        """The fixture in a container of the recorded engine."""
        usual = {"PATH": os.environ["PATH"], "DOCKER_HOST": recorded.host, "HOME": "/nonexistent"}
        named = [word for name in env for word in ("-e", name)]
        reach = Container(image, "docker", ("--memory=64m", *named))
        return Launch("boxed", ("serve", "it"), {**usual, **env}, "/", reach)

    @pytest_twisted.ensureDeferred
    async def test_life(self, house: House, recorded: RecordedEngine) -> None:
        """The command line creates, attaches, starts and waits; stdin and stdout are those of the server."""
        talk = await house.talk(self.launch(recorded, KEY=SECRET))
        await talk.meet()
        assert await talk.call("echo", text="x" * 100_000) == "x" * 100_000
        assert SECRET not in command_lines(house.processes)
        created: dict[str, Any] = recorded.created
        assert created["Image"] == "there:1"
        assert created["Cmd"] == ["serve", "it"]
        assert created["Env"] == [f"KEY={SECRET}"]
        assert created["OpenStdin"]
        assert created["StdinOnce"]
        assert not created["Tty"]
        assert created["Labels"]["mcpgateway.instance"] == house.instance
        assert created["HostConfig"]["AutoRemove"]
        assert created["HostConfig"]["Init"]
        assert created["HostConfig"]["Memory"] == 64 * 2**20
        await talk.backend.stop()
        assert len(talk.ends) == 1
        assert recorded.removed[-1] == recorded.name
        assert not house.processes

    @pytest_twisted.ensureDeferred
    async def test_a_killed_command_line(self, house: House, recorded: RecordedEngine) -> None:
        """When the command line is killed, the container is removed by its name."""
        talk = await house.talk(self.launch(recorded))
        await talk.meet()
        talk.backend.kill()
        await until(lambda: talk.ends, "its end is told")
        await talk.backend.stop()
        assert recorded.removed == [recorded.name]

    @pytest_twisted.ensureDeferred
    async def test_fetching(self, house: House, recorded: RecordedEngine) -> None:
        """An image that is not there is fetched before the server is started."""
        talk = await house.talk(self.launch(recorded, image="elsewhere:1"))
        await talk.meet()
        assert recorded.had_image
        await talk.backend.stop()
        assert recorded.pulled == ["elsewhere:1"]
