"""A server in a container: the command line of Docker or Podman is the child, and the container ends with it.

# Note [Who ends a container]
A container is no child of the gateway: it goes on running when its command line is killed.  So each container has a
name that no other program gives, and the gateway removes it by that name once its command line has ended.  When the
command line is killed together with the gateway, the container's stdin closes, which ends every well-behaved server; a
container that is left even then has the gateway's label, and is removed when the gateway starts again.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import evolve, frozen
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.run_once import TOO_LATE, ProgramOutcome, run
from mcpgateway.config.reach_settings import Container
from mcpgateway.errors import GatewayError, LaunchFailed
from mcpgateway.inherited import Inherited, InheritedContainer
from mcpgateway.interfaces import GatewayRun, Gone, IBackend, ILauncher, ILineReceiver, Launch, going_on

ENGINES = ("docker", "podman")
INSTANCE_LABEL, SERVER_LABEL, HOME_LABEL = "mcpgateway.instance", "mcpgateway.server", "mcpgateway.home"

ASK_S = 10.0  # an engine that has been asked something small
PULL_S = 300.0  # an image of a gigabyte over an ordinary line; the next attempt goes on where this one ended
REMOVE_S = 20.0
ENGINE_FAILED = 125  # what both engines exit with when it was not the command in the container that failed

# How the command line finds its engine, its images and its user: these are for it, not for the container.
ENGINE_VARIABLES = frozenset(
    "PATH HOME USER LOGNAME XDG_RUNTIME_DIR XDG_CONFIG_HOME XDG_DATA_HOME TMPDIR".split()
)
ENGINE_PREFIXES = ("DOCKER_", "CONTAINER_", "CONTAINERS_", "BUILDAH_", "PODMAN_")
INITS = ("/usr/libexec/podman/catatonit", "/usr/local/libexec/podman/catatonit")

_NAME_PART = re.compile(r"[^a-zA-Z0-9_.-]+")
_SHORTS = re.compile(r"-[itdP]*[itd][itdP]*\Z")
_NO_ENGINE = re.compile(
    r"Cannot connect to the Docker daemon|Is the docker daemon running|annot connect to Podman|to connect to Podman"
    r"|connect to the (?:docker|Docker) (?:API|daemon)"
)

VARIABLE = ("-e", "--env")
OURS = frozenset("--interactive --tty --detach --rm --init --sig-proxy".split())
OURS_WITH_VALUE = frozenset("--name --cidfile --attach -a --detach-keys --restart".split())
"""Options that the gateway sets itself; a command that was written for a terminal may contain them."""


@frozen
class _Run:
    """The computed command line of one container.

    :ivar inherited: the same, if the former program of this process has started it.
    """

    engine: str
    name: str
    argv: tuple[str, ...]
    launch: Launch
    inherited: Inherited | None = None


class ContainerBackend:
    """A running container, whose messages pass through the stdin and stdout of its command line."""

    log = Logger()

    def __init__(self, reactor: Any, programs: ILauncher, todo: _Run, receiver: ILineReceiver) -> None:
        self._reactor = reactor
        self._programs = programs
        self._todo = todo
        self._receiver = receiver
        self._removing: Deferred[None] | None = None
        launch = evolve(todo.launch, argv=todo.argv, reach=None, inherited=todo.inherited)
        self._child: IBackend = programs.launch(launch, self)

    @property
    def pid(self) -> int:
        """The process id of the command line."""
        found: int = self._child.pid
        return found

    @property
    def heard(self) -> int:
        """Return the number of messages received so far."""
        found: int = self._child.heard
        return found

    def write(self, line: bytes, *, now: bool = False) -> None:
        """Send one message to the server in the container."""
        self._child.write(line, now=now)

    def line_received(self, line: bytes) -> None:
        """Receive one message from the server in the container."""
        self._receiver.line_received(line)

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """Report a line without an end to the receiver."""
        self._receiver.line_overflowed(head, limit)

    def gone(self, why: Gone) -> None:
        """Remove the container: its command line has ended."""
        self._removing = Deferred.fromCoroutine(self._remove())
        if why.code == ENGINE_FAILED and not why.fault:
            why = replace(why, fault=self._fault(why.last_words))
        self._receiver.gone(why)

    def _fault(self, words: str) -> str:
        engine = os.path.basename(self._todo.engine)
        if _NO_ENGINE.search(words):
            return f"{engine} is installed, but its engine does not answer or does not let us in"
        return f"{engine} could not run the container"

    async def _remove(self) -> None:
        argv = _remove_argv(self._todo.engine, self._todo.name)
        try:
            ran = await run(self._reactor, self._programs, self._todo.launch, argv, REMOVE_S)
            if ran.code == TOO_LATE:
                raise LaunchFailed("the engine takes too long")
        except GatewayError as why:
            self.log.warn(
                "{server}: the container {name} could not be removed: {why}",
                event="container.left",
                server=self._todo.launch.server,
                name=self._todo.name,
                why=why.message,
            )

    @property
    def goes_on(self) -> bool:
        """True if the next program of this process can take it over."""
        return going_on(self._child) is not None

    def keeps(self, number: int) -> bool:
        """Return whether a call under way goes on with it: each does."""
        return True

    def hand_over(self) -> InheritedContainer:
        """Return the container for the next program of this process, and leave it alone."""
        child = going_on(self._child)
        assert child is not None
        return InheritedContainer(child.hand_over(), self._todo.engine, self._todo.name)

    def stop(self) -> Deferred[None]:
        """Stop the command line by the stop ladder, then remove the container if it is left."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self._child.stop()
        removing = self._removing
        if removing is not None:
            done: Deferred[None] = Deferred()
            removing.addBoth(_pass_to, done)
            await done

    def kill(self) -> None:
        """KILL the command line; the container is removed when it has ended."""
        self._child.kill()

    def stderr_tail(self) -> str:
        """Return the end of stderr, of the command line and of the server in the container."""
        text: str = self._child.stderr_tail()
        return text


def _pass_to(result: Any, done: Deferred[None]) -> Any:
    done.callback(None)
    return result


def _remove_argv(engine: str, *names: str) -> tuple[str, ...]:
    # Docker kills at once; Podman has to be told not to ask the container for ten seconds first.
    at_once = ("--time=0",) if os.path.basename(engine).startswith("podman") else ()
    return (engine, "rm", "--force", *at_once, *names)


def launch_container(
    reactor: Any, programs: ILauncher, launch: Launch, receiver: ILineReceiver, whose: GatewayRun
) -> IBackend:
    """Start a container for a server, or take over the one that the launch names.

    :raise LaunchFailed: neither engine is installed, or the command line cannot be started.
    """
    reach, former = _reach_of(launch), launch.inherited
    if isinstance(former, InheritedContainer):
        around = evolve(launch, env=engine_environment(launch), inherited=None)
        todo = _Run(former.engine, former.name, (), around, former.child)
        return ContainerBackend(reactor, programs, todo, receiver)
    if not reach.image or reach.image.startswith("-"):
        raise LaunchFailed(f"{launch.server}: {reach.image!r} is no name of an image")
    engine = find_engine(launch)
    name = f"mcpgateway-{_NAME_PART.sub('-', launch.server)[:40]}-{secrets.token_hex(4)}"
    labels = {INSTANCE_LABEL: whose.instance, SERVER_LABEL: launch.server, HOME_LABEL: whose.home}
    argv: list[str] = [engine, "run", "--interactive", "--rm", *_init(engine, reach.options), "--name", name]
    for label, value in labels.items():
        argv += ["--label", f"{label}={value}"]
    env = engine_environment(launch)
    argv += _options(reach.options, launch.env, env)
    argv += [reach.image, *launch.argv]
    todo = _Run(engine, name, tuple(argv), evolve(launch, env=env))
    return ContainerBackend(reactor, programs, todo, receiver)


def _reach_of(launch: Launch) -> Container:
    assert isinstance(launch.reach, Container)
    return launch.reach


def find_engine(launch: Launch) -> str:
    """Return the path of the command line for a launch's container: the named engine, or the first installed one.

    :raise LaunchFailed: the engine is not installed.
    """
    named = _reach_of(launch).engine
    if "/" in named:
        return named
    path = engine_environment(launch).get("PATH", os.defpath)
    for engine in (named,) if named else ENGINES:
        found = shutil.which(engine, path=path)
        if found is not None:
            return found
    words = f"{named!r} was not found" if named else "neither 'docker' nor 'podman' was found"
    raise LaunchFailed(
        f"{launch.server}: {words}, and its server runs in a container",
        f"looked in PATH={path}; install Docker or Podman",
    )


def engine_environment(launch: Launch) -> dict[str, str]:
    """Return the environment of the command line: its own settings, and the container's variables."""
    of_container = {name for name, _ in _variables(_reach_of(launch).options)}
    env = {name: value for name, value in launch.env.items() if not (_leads(name) and name in of_container)}
    for name, value in os.environ.items():
        if _leads(name):
            env.setdefault(name, value)
    return env


def _leads(name: str) -> bool:
    return name in ENGINE_VARIABLES or name.startswith(ENGINE_PREFIXES)


def _options(written: tuple[str, ...], given: Mapping[str, str], env: dict[str, str]) -> Iterator[str]:
    # The options of the entry, without those that the gateway sets itself.
    for name, value in _variables(written):
        yield from _variable(name, given.get(name) if value is None else value, env)
    for option in _others(written):
        name = option[0].partition("=")[0]
        if name not in OURS and name not in OURS_WITH_VALUE and not _SHORTS.match(name):
            yield from option


def _variable(name: str, value: str | None, env: dict[str, str]) -> Iterator[str]:
    # Every user of this machine can read the command line; its environment is not.  Only what the command line itself
    # lives by has to be written there, and none of that is a secret.
    yield "--env"
    if value is None:
        yield name
    elif _leads(name):
        yield f"{name}={value}"
    else:
        env[name] = value
        yield name


def _variables(written: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    # The variables among the options, each with its value unless that is to be taken from the environment.
    for option in _split(written):
        content = _variable_in(option)
        if content is not None:
            name, is_set, value = content.partition("=")
            yield name, value if is_set else None


def _others(written: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (option for option in _split(written) if _variable_in(option) is None)


def _variable_in(option: tuple[str, ...]) -> str | None:
    first = option[0]
    if first in VARIABLE:
        return option[1] if len(option) > 1 else ""
    if first.startswith("--env="):
        return first.removeprefix("--env=")
    return first[2:] if first.startswith("-e") else None


def _split(written: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    # Each option with its value, where that is a word of its own and we have to know.
    rest = iter(written)
    for word in rest:
        value = next(rest, None) if word in VARIABLE or word in OURS_WITH_VALUE else None
        yield (word,) if value is None else (word, value)


def _init(engine: str, options: tuple[str, ...]) -> tuple[str, ...]:
    # As process 1 a server would neither reap its children nor heed a TERM that it does not handle.
    if "--init=false" in options:
        return ()
    is_docker = os.path.basename(engine).startswith("docker")
    has_init = (
        is_docker or any(os.path.exists(each) for each in INITS) or shutil.which("catatonit") is not None
    )
    return ("--init",) if has_init else ()


def prepare_container(reactor: Any, programs: ILauncher, launch: Launch) -> Deferred[Launch]:
    """Find an engine that answers, and have it fetch the image if it is not there; never fails.

    Fetching an image may take minutes, for which the server is not responsible; so it is done before the time limit of
    the handshake begins.
    """
    return Deferred.fromCoroutine(_prepare(reactor, programs, launch)).addErrback(_unprepared, launch)


async def _prepare(reactor: Any, programs: ILauncher, launch: Launch) -> Launch:
    reach = _reach_of(launch)
    engine = await _answering_engine(reactor, programs, launch)
    launch = evolve(launch, reach=evolve(reach, engine=engine))
    around = evolve(launch, env=engine_environment(launch))
    if any(option.startswith("--pull") for option in reach.options):
        return launch
    inspected = await run(reactor, programs, around, (engine, "image", "inspect", reach.image), ASK_S)
    if inspected.code in (0, TOO_LATE) or _NO_ENGINE.search(inspected.last_words):
        return launch
    Logger().info(
        "{server}: fetching the image {image}",
        event="container.pulling",
        server=launch.server,
        image=reach.image,
    )
    argv = (engine, "pull", "--quiet", *_platform(reach.options), reach.image)
    await run(reactor, programs, around, argv, PULL_S)  # what went wrong, `run` says once more
    return launch


async def _answering_engine(reactor: Any, programs: ILauncher, launch: Launch) -> str:
    first = find_engine(launch)
    if _reach_of(launch).engine or not os.path.basename(first).startswith("docker"):
        return first
    other = shutil.which("podman", path=engine_environment(launch).get("PATH", os.defpath))
    if other is None:
        return first
    around = evolve(launch, env=engine_environment(launch))
    asked: ProgramOutcome = await run(reactor, programs, around, (first, "version"), ASK_S)
    return other if asked.code else first


def _platform(options: tuple[str, ...]) -> tuple[str, ...]:
    for position, option in enumerate(options):
        if option.startswith("--platform="):
            return (option,)
        if option == "--platform":
            return options[position : position + 2]
    return ()


def _unprepared(why: Failure, launch: Launch) -> Launch:
    if not why.check(GatewayError):
        Logger().failure(
            "{server} could not be prepared", why, event="container.broken", server=launch.server
        )
    return launch  # the launch fails for the same reason, and reports it


def reap_containers(
    reactor: Any, programs: ILauncher, launches: Iterable[Launch], home: str, living: Iterable[str]
) -> Deferred[list[str]]:
    """Remove containers that killed gateways of this home left behind; fires with a sentence for each.

    :param launches: of the servers in containers, whose engines are asked.
    :param living: the instances of gateways that still run, our own among them.
    """
    return Deferred.fromCoroutine(_reap(reactor, programs, list(launches), home, list(living)))


async def _reap(
    reactor: Any, programs: ILauncher, launches: list[Launch], home: str, living: list[str]
) -> list[str]:
    found: list[str] = []
    asked: list[tuple[str, dict[str, str]]] = []
    for launch in launches:
        try:
            engine, env = find_engine(launch), engine_environment(launch)
            leading = {name: value for name, value in env.items() if _leads(name)}
            if (engine, leading) in asked:
                continue
            asked.append((engine, leading))
            around = evolve(launch, env=env)
            dead = set(await _named(reactor, programs, around, engine, f"{HOME_LABEL}={home}"))
            for instance in living if dead else ():
                dead -= set(await _named(reactor, programs, around, engine, f"{INSTANCE_LABEL}={instance}"))
            if dead:
                await run(reactor, programs, around, _remove_argv(engine, *sorted(dead)), REMOVE_S)
        except GatewayError:
            continue  # it is not installed; a server that needs it fails with the reason
        found += [f"container {name}" for name in sorted(dead)]
    return found


async def _named(
    reactor: Any, programs: ILauncher, launch: Launch, engine: str, label: str
) -> tuple[str, ...]:
    argv = (engine, "ps", "--all", "--filter", f"label={label}", "--format", "{{.Names}}")
    listed = await run(reactor, programs, launch, argv, ASK_S)
    return listed.lines if listed.code == 0 else ()
