"""Children as real processes: how they are started, what they say, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from mcpgateway.backends.process import LINE_LIMIT, STDIN_LIMIT, Child
from mcpgateway.backends.spawn import Launcher
from mcpgateway.errors import BackendGone, LaunchFailed, Overloaded
from mcpgateway.interfaces import Gone, Launch
from mcpgateway.policy.secrets.shapes import MASK
from mcpgateway.system.process.children import ChildGuard
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.orphans import ChildRegistry, reap_leftovers
from mcpgateway.system.process.processes import bearing
from mcpgateway.system.process.procfs import is_alive

pytestmark = pytest.mark.functional

PATIENCE_S = 60.0

# The four families of children that outlive a careless parent.
STUBBORN = "import signal,time;signal.signal(signal.SIGTERM,signal.SIG_IGN);time.sleep(600)"
DOUBLE = (
    "import os,time\\nif os.fork(): os._exit(0)\\nos.setsid()\\nif os.fork(): os._exit(0)\\ntime.sleep(600)"
)
FAMILIES = {
    "ends on EOF": "cat",
    "ignores EOF and TERM": f"exec {sys.executable} -c '{STUBBORN}'",
    "wrapped": f"{sys.executable} -c '{STUBBORN}'; true",
    "double-forked": f"""printf "{DOUBLE}" | {sys.executable} - ; exec sleep 600""",
}


class Recorder:
    """Writes down what a child says."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.overflow: bytes | None = None
        self.ends: list[Gone] = []

    def line_received(self, line: bytes) -> None:
        """Record a line."""
        self.lines.append(line)

    def line_overflowed(self, head: bytes, limit: int) -> None:
        """Too long a line."""
        self.overflow = head

    def gone(self, why: Gone) -> None:
        """The end."""
        self.ends.append(why)


class Nursery:
    """A launcher with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = str(home)
        self.instance = f"test{os.getpid()}x{time.monotonic_ns()}"
        self.guardian = Guardian(reactor, self.instance)
        self.registry = ChildRegistry(self.home, self.instance)
        self.launcher = Launcher(reactor, ChildGuard(self.registry, self.guardian))
        self.children: list[Child] = []

    def start(self, script: str, *, is_heard: bool = True, **env: str) -> tuple[Child, Recorder]:
        """Start a shell script as a child."""
        recorder = Recorder()
        environ = {"PATH": os.environ["PATH"], **env}
        launch = Launch("s", ("sh", "-c", script), environ, self.home, is_heard=is_heard)
        child = self.launcher.launch(launch, recorder)
        self.children.append(child)
        return child, recorder

    @property
    def survivors(self) -> list[int]:
        """The processes that still bear the marker of this instance."""
        return [pid for pid in bearing(f"MCPGATEWAY_INSTANCE={self.instance}") if is_alive(pid)]


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """A launcher; whatever it started is killed in the end."""
    made = Nursery(tmp_path)
    yield made
    for pid in made.survivors:
        os.kill(pid, signal.SIGKILL)
    made.guardian.stop()


def until(true: Callable[[], Any]) -> Deferred[None]:
    """Fires once something is true; fails after a generous while."""
    return Deferred.fromCoroutine(_until(true))


async def _until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never became true"
        await deferLater(reactor, 0.02)


class LaunchTests:
    """The launch of a child."""

    @pytest_twisted.ensureDeferred
    async def test_circumstances(self, nursery: Nursery) -> None:
        """A child leads a session and a group of its own, where and with what it was given, and nothing of ours."""
        before = os.getcwd()
        script = "pwd; ps -o sid=,pgid= -p $$; env | cut -d= -f1 | xargs; ls /proc/$$/fd"
        child, recorder = nursery.start(script, ONE="1")
        await until(lambda: recorder.ends)
        where, ids, names, *descriptors = recorder.lines
        assert where.decode() == str(Path(nursery.home).resolve())  # noqa: ASYNC240 - nothing else waits
        assert ids.split() == [b"%d" % child.pid] * 2
        assert set(names.decode().split()) == {
            "MCPGATEWAY_CHILD",
            "MCPGATEWAY_INSTANCE",
            "ONE",
            "PATH",
            "PWD",
        }
        assert set(descriptors) <= {b"0", b"1", b"2", b"10"}
        assert os.getcwd() == before

    @pytest.mark.parametrize(
        ("argv", "cwd", "words"),
        [
            (("no-such-program",), "/", "the program 'no-such-program' was not found"),
            (("./missing",), "/", "the program ./missing does not exist"),
            (("/etc/passwd",), "/", "could not be started: Permission denied|is not executable"),
            (("/etc",), "/", "is not executable"),
            (("sh",), "/no/such/directory", "the working directory /no/such/directory does not exist"),
        ],
    )
    def test_refusals(self, nursery: Nursery, argv: tuple[str, ...], cwd: str, words: str) -> None:
        """A child that cannot be started is refused in words that name the child and the reason."""
        with pytest.raises(LaunchFailed, match=words) as why:
            nursery.launcher.launch(Launch("s", argv, {"PATH": os.environ["PATH"]}, cwd), Recorder())
        assert why.value.message.startswith("s: ")

    def test_the_childs_own_path(self, nursery: Nursery, tmp_path: Path) -> None:
        """A program is looked for on the PATH the child will have, not on ours."""
        with pytest.raises(LaunchFailed):
            nursery.launcher.launch(Launch("s", ("sh",), {"PATH": str(tmp_path)}, "/"), Recorder())

    @pytest_twisted.ensureDeferred
    async def test_no_descriptor_is_lost(self, nursery: Nursery) -> None:
        """Fifty children later we have as many descriptors open as before."""
        for round_ in range(51):
            if round_ == 1:
                before = len(os.listdir("/proc/self/fd"))
            _, recorder = nursery.start("echo hi")
            await until(lambda recorder=recorder: recorder.ends)
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before)


class TalkTests:
    """Lines to a child, and from it."""

    @pytest_twisted.ensureDeferred
    async def test_lines(self, nursery: Nursery) -> None:
        """Lines go down and come up, however large, and the last words of a leaving child are heard."""
        child, recorder = nursery.start("head -n 3; echo bye; echo why >&2; exit 7")
        for line in (b"one\n", b"x" * 3_000_000 + b"\n", b"three\n"):
            child.write(line)
        await until(lambda: recorder.ends)
        assert [len(line) for line in recorder.lines] == [3, 3_000_000, 5, 3]
        assert (recorder.ends[0].code, recorder.ends[0].last_words) == (7, "why")
        with pytest.raises(BackendGone):
            child.write(b"late\n")

    @pytest_twisted.ensureDeferred
    async def test_a_child_that_does_not_read(self, nursery: Nursery) -> None:
        """The lines that wait for a child that does not read are bounded."""
        child, _ = nursery.start("exec sleep 600")
        for _ in range(STDIN_LIMIT // 2**20):
            child.write(b"y" * 2**20)
        with pytest.raises(Overloaded, match="does not read"):
            child.write(b"y" * 2**21)
        await child.stop()

    @pytest_twisted.ensureDeferred
    async def test_a_busy_child(self, nursery: Nursery) -> None:
        """A child that reads gets any number of lines, though some of them wait for it all the time."""
        child, recorder = nursery.start("exec cat")
        line, read, written = b"y" * 2**18 + b"\n", 0, 0
        while written < 2 * STDIN_LIMIT:
            while written - read < STDIN_LIMIT // 4:
                child.write(line)
                written += len(line)
            await until(lambda: recorder.lines)
            read += len(line) * len(recorder.lines)
            recorder.lines.clear()
        await child.stop()

    @pytest_twisted.ensureDeferred
    async def test_a_line_without_end(self, nursery: Nursery) -> None:
        """A child that never ends its line is killed at the limit, and our memory stays bounded."""
        _, recorder = nursery.start("echo -n start; exec cat /dev/zero")
        await until(lambda: recorder.ends)
        assert recorder.overflow is not None
        assert recorder.overflow.startswith(b"start")
        assert recorder.ends[0].signal == signal.SIGKILL
        assert LINE_LIMIT <= 64 * 2**20

    @pytest_twisted.ensureDeferred
    async def test_a_closed_stdout(self, nursery: Nursery) -> None:
        """A child that nothing can be heard of any more is killed, and the end says why."""
        _, recorder = nursery.start("echo bye; exec sleep 600 >&-")
        await until(lambda: recorder.ends)
        assert recorder.lines == [b"bye"]
        assert str(recorder.ends[0]) == "it closed its stdout"

    @pytest_twisted.ensureDeferred
    async def test_a_closed_stdin(self, nursery: Nursery) -> None:
        """A child that takes no message any more is killed, and the end says why."""
        child, recorder = nursery.start("exec <&-; echo deaf; sleep 600")
        await until(lambda: recorder.lines)
        child.write(b"{}\n", now=True)
        await until(lambda: recorder.ends)
        assert str(recorder.ends[0]) == "it closed its stdin"

    @pytest_twisted.ensureDeferred
    async def test_a_closed_stdout_of_no_matter(self, nursery: Nursery) -> None:
        """A program that is not spoken with on its stdout may close it."""
        child, recorder = nursery.start("echo bye; exec sleep 2 >&-", is_heard=False)
        await until(lambda: recorder.ends)
        assert (str(recorder.ends[0]), child.has_exited) == ("exit code 0", True)

    @pytest_twisted.ensureDeferred
    async def test_stderr(self, nursery: Nursery) -> None:
        """A flood on stderr blocks nobody; its end is kept, control characters shown harmless."""
        _, recorder = nursery.start(
            "head -c 20000000 /dev/zero | tr '\\0' z >&2; printf '\\n\\033[31mred\\n' >&2; echo done"
        )
        await until(lambda: recorder.ends)
        assert recorder.lines == [b"done"]
        assert recorder.ends[0].last_words.endswith("\\x1b[31mred")
        assert len(recorder.ends[0].last_words) < 40_000

    @pytest_twisted.ensureDeferred
    async def test_secrets(self, nursery: Nursery) -> None:
        """A secret that a child was given, and repeats, is not shown."""
        _, recorder = nursery.start("echo refused: $API_TOKEN >&2; exit 3", API_TOKEN="hush")
        await until(lambda: recorder.ends)
        assert recorder.ends[0].last_words == f"refused: {MASK}"


class SurvivalTests:
    """No process outlives its purpose."""

    @pytest.mark.parametrize("family", FAMILIES)
    @pytest_twisted.ensureDeferred
    async def test_stop_ladder(self, nursery: Nursery, family: str) -> None:
        """The ladder leaves nothing of any family."""
        child, recorder = nursery.start(FAMILIES[family])
        await deferLater(reactor, 0.5)
        first, second = child.stop(), child.stop()
        await first
        await second
        await child.stop()
        assert len(recorder.ends) == 1
        await until(lambda: not nursery.survivors)

    @pytest_twisted.ensureDeferred
    async def test_a_helper_that_holds_the_pipe(self, nursery: Nursery) -> None:
        """A child's end is its own exit, not that of a helper that keeps its pipes open."""
        _, recorder = nursery.start("sleep 600 & echo hi")
        await until(lambda: recorder.ends)
        assert recorder.lines == [b"hi"]
        await until(lambda: not nursery.survivors)

    @pytest_twisted.ensureDeferred
    async def test_the_guardian_comes_back(self, nursery: Nursery) -> None:
        """A guardian that is killed is started again, and told what there is to guard."""
        child, _ = nursery.start("exec sleep 600")
        await until(lambda: nursery.guardian.pid)
        first = nursery.guardian.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: nursery.guardian.pid not in (None, first))
        await child.stop()

    @pytest.mark.parametrize("family", FAMILIES)
    @pytest.mark.parametrize("whom", ["gateway", "both"])
    def test_kill_nine(self, tmp_path: Path, family: str, whom: str) -> None:
        """A killed gateway leaves no child: the guardian sees to it at once; if that is killed too, the next
        start does.
        """
        root = Path(__file__).parents[2]
        argv = [sys.executable, "-m", "tests.functional.driver_of_children", str(tmp_path), FAMILIES[family]]
        with subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE) as program:
            assert program.stdout is not None
            guardian = int(program.stdout.readline())
            if whom == "both":
                os.kill(guardian, signal.SIGKILL)
            program.kill()
        if whom == "both":
            reap_leftovers(str(tmp_path))
        marker = f"MCPGATEWAY_INSTANCE={tmp_path.name}"
        end = time.monotonic() + PATIENCE_S
        while any(is_alive(pid) for pid in bearing(marker)):
            assert time.monotonic() < end, "something outlived the gateway"
            time.sleep(0.05)
        if whom == "both":
            assert not list((tmp_path / "children").iterdir())
