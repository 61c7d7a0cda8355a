"""Every file of the gateway's home, whatever stands in its place: nothing else is touched, nothing hangs or breaks.

``HOME`` names the files, and what writes and reads each of them; whoever adds one adds it there.
"""

from __future__ import annotations

import ast
import os
import re
import resource
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from time import time

import pytest
from twisted.internet.defer import succeed

import mcpgateway
from mcpgateway.clientfiles import recover
from mcpgateway.clientfiles.backups import Backups
from mcpgateway.clientfiles.ledger import Ledger
from mcpgateway.config.gateway_settings import Circuit
from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.usage import Book
from mcpgateway.errors import ConfigError, LaunchFailed, Misplaced
from mcpgateway.frontends.manhole.ssh import host_key
from mcpgateway.hub.health.former_failures import FormerFailures
from mcpgateway.hub.health.history import History
from mcpgateway.hub.health.record import HealthRecord
from mcpgateway.interfaces import SessionRecord
from mcpgateway.policy.breaker import Breaker
from mcpgateway.policy.recorded_answers import Catalog
from mcpgateway.shim import startup
from mcpgateway.system import approvals, home_files, removed_servers, state
from mcpgateway.system.daemon_locks import DaemonLocks
from mcpgateway.system.home_files import Writer
from mcpgateway.system.instance_lock import InstanceLock
from mcpgateway.system.job_files import JobFiles
from mcpgateway.system.journal import Journal
from mcpgateway.system.launch.cache import LaunchCache, ResolvedProgram
from mcpgateway.system.launch.lock import LockedServer, VersionLock
from mcpgateway.system.logs.server_log import ServerLogFile
from mcpgateway.system.oauth_tokens import OAuthTokenFiles
from mcpgateway.system.process.orphans import ChildRegistry, instances, reap_leftovers
from mcpgateway.system.recorded_lists import RecordedListFiles
from mcpgateway.system.result_files import ResultFiles
from mcpgateway.system.result_files import ResultRecord as Result
from mcpgateway.system.settings import keep_login
from mcpgateway.system.state import read_state
from mcpgateway.system.token_files import TokenFiles, read_or_create
from mcpgateway.system.usage import UsageFile

STRANGER = 12_345
HANGS_S = 20
REF, JOB = "r" * 32, "job_1_" + "a" * 20
VICTIM = '{"it is": "somebody\'s"}\n'


def of_state(home: str) -> None:
    """``state.json``, which the gateway writes and commands read."""
    read_state(home)
    state.read(home)
    state.write(home, state.myself(1, "1", 0.0, [], []))
    state.remove(home, os.getpid())


def of_port(home: str) -> None:
    """``port``, the one that the gateway was told."""
    state.recorded_port(home)
    state.keep_port(home, 1)


def of_lock(home: str) -> None:
    """``daemon.lock``, which is opened by whoever starts the gateway and by the gateway."""
    os.close(startup.open_lock(home))
    claim = InstanceLock.of(home, {})
    claim.up()
    if claim.is_held:
        os.close(claim.lock)


def of_wanted(home: str) -> None:
    """``wanted``, what the gateway is to run with."""
    startup.read_wanted(home)
    startup.write_wanted(home, ["--port", "1"])


def of_former(home: str) -> None:
    """``former``, what the gateway ran with before its stop."""
    startup.read_former(home)
    startup.write_wanted(home, [])
    startup.write_stopped(home)


def of_stopped(home: str) -> None:
    """Record that no gateway is to run."""
    startup.stopped_at(home)
    startup.write_stopped(home)


def of_revival(home: str) -> None:
    """Record when the gateway comes back."""
    startup.read_due(home, startup.REVIVAL)
    startup.write_due(home, startup.REVIVAL, 1)


def of_restoration(home: str) -> None:
    """``restoration``, when clients' files are given back."""
    startup.read_due(home, startup.RESTORATION)
    startup.write_due(home, startup.RESTORATION, 1)


def of_log(home: str) -> None:
    """``logs/gateway.log``, which the gateway's starter opens, and the gateway when it turns it over."""
    startup.make_own(f"{home}/logs")
    startup.last_words(home)
    home_files.make_directory(f"{home}/logs")
    os.close(home_files.open_to_write(f"{home}/logs/gateway.log"))
    os.close(startup.open_own(f"{home}/logs/gateway.log", os.O_WRONLY | os.O_APPEND))


def of_server_log(home: str) -> None:
    """The log of a server, and ``logs/activity.jsonl`` like it."""
    file = ServerLogFile(f"{home}/logs/s.log", rotate_bytes=10)
    file.tail(10)
    file.append(["first", "second"])
    file.append(["third"])


def of_tokens(home: str) -> None:
    """The two tokens of the gateway."""
    kept = TokenFiles(home)
    kept.own()
    kept.renew("auth.token")


def of_agents(home: str) -> None:
    """``tokens.json``."""
    kept = TokenFiles(home)
    kept.agents()
    kept.keep(())


def of_key(home: str) -> None:
    """``sessions/key``."""
    home_files.make_directory(f"{home}/sessions")
    read_or_create(f"{home}/sessions/key")


def of_journal(home: str) -> None:
    """``sessions/journal.db`` and the files that SQLite keeps beside it."""
    home_files.make_directory(f"{home}/sessions")
    journal = Journal(f"{home}/sessions/journal.db", time)
    journal.keep(SessionRecord(b"1234567890123456", "s", "p", "2025-06-18"), 1)
    journal.close()


def of_launches(home: str) -> None:
    """``launch-cache.json``."""
    LaunchCache(home).keep("key", ResolvedProgram("/bin/true"))


def of_versions(home: str) -> None:
    """``lock.json``."""
    VersionLock(home, time).put("s", LockedServer("p"))
    assert VersionLock(home, time).servers is not None


def of_rebuilt(home: str) -> None:
    """``rebuilt.json``."""
    recover.remember(home, "/somewhere/mcp.json", {("mcpServers", "a"): ({"command": "a"}, "somewhere")})
    recover.source_of(home, "/somewhere/mcp.json", ("mcpServers", "a"), {"command": "a"})


def of_login(home: str) -> None:
    """``environment.json``."""
    keep_login(home, {"SHLVL": "1", "TERM": "xterm", "PATH": "/bin", "HOME": home})


def of_approvals(home: str) -> None:
    """``approvals.json``."""
    approvals.read(home)
    approvals.approve(home, "/somewhere/.mcp.json", "0" * 64, 0.0)


def of_usage(home: str) -> None:
    """``usage.json``."""
    file = UsageFile(f"{home}/usage.json")
    file.read()
    file.write(Book())


def of_failures(home: str) -> None:
    """``failures.json``."""
    record = HealthRecord(ServerSpec("s", ("run",), {}, "/"), Breaker(Circuit()), History(time))
    record.history.failed(LaunchFailed("it is not there"), record.note("it is not there"), "")
    file = FormerFailures(f"{home}/failures.json", str)
    file.read()
    file.keep([record])


def of_catalogs(home: str) -> None:
    """Write the catalog of a server."""
    catalogs = RecordedListFiles(f"{home}/catalogs", time)
    catalogs.read("s")
    catalogs.write("s", Catalog())


def of_jobs(home: str) -> None:
    """Write the record of a job."""
    jobs = JobFiles(f"{home}/jobs")
    jobs.names()
    jobs.read(JOB)
    jobs.write(JOB, b"{}")


def of_results(home: str) -> None:
    """A result that is kept."""
    spill, kept = ResultFiles(f"{home}/results"), Result(REF, "p", "d", 4, "t", 0.0)
    spill.found()
    spill.write(kept, b"1234")
    spill.read(kept)


def of_grants(home: str) -> None:
    """Write the grant of a remote server."""
    grants = OAuthTokenFiles(home)
    grants.read("key")
    grants.write("key", {"a": 1})


def of_removed(home: str) -> None:
    """An entry that was taken out of the configuration."""
    removed_servers.keep(home, "s", {"command": "x"})


def of_children(home: str) -> None:
    """Which processes run."""
    reap_leftovers(home)
    instances(home)
    registry = ChildRegistry(home, "i")
    registry.added(os.getpid(), "s")
    registry.close()


def of_daemons(home: str) -> None:
    """The lock of a program with a port of its own."""
    locks = DaemonLocks(home, f"{home}/none", lambda inodes: succeed({}))
    locks.find("s", 1)
    locks.claim("s", 1, "http")
    locks.started("s", os.getpid(), 1, "http")
    locks.release("s")


def of_kept(home: str) -> None:
    """Write a former version of a client's file."""
    kept = Backups(home)
    with kept.locked():
        kept.put(b"before")
        kept.trim()


def of_ledger(home: str) -> None:
    """The ledger of clients' files, and its backup."""
    Ledger(home).opt_out(frozenset(("a",)))


def of_host_key(home: str) -> None:
    """The key of the manhole."""
    host_key(f"{home}/manhole/host_key")


HOME: dict[str, Callable[[str], None]] = {
    "state.json": of_state,
    "port": of_port,
    "daemon.lock": of_lock,
    "wanted": of_wanted,
    "stopped": of_stopped,
    "former": of_former,
    "revival": of_revival,
    "restoration": of_restoration,
    "logs/gateway.log": of_log,
    "logs/s.log": of_server_log,
    "logs/s.log.1": of_server_log,
    "auth.token": of_tokens,
    "admin.token": of_tokens,
    "tokens.json": of_agents,
    "sessions/key": of_key,
    "sessions/journal.db": of_journal,
    "sessions/journal.db-wal": of_journal,
    "sessions/journal.db-shm": of_journal,
    "launch-cache.json": of_launches,
    "lock.json": of_versions,
    "rebuilt.json": of_rebuilt,
    "environment.json": of_login,
    "approvals.json": of_approvals,
    "usage.json": of_usage,
    "failures.json": of_failures,
    "catalogs/s.json": of_catalogs,
    f"jobs/{JOB}.json": of_jobs,
    f"results/{REF}.result": of_results,
    "grants/2c70e12b7a0646f92279f427c7b38e73.json": of_grants,
    "children/i.json": of_children,
    "daemons/s.lock": of_daemons,
    "ledger/ledger.db": of_ledger,
    "ledger/ledger.backup.db": of_ledger,
    "ledger/ledger.db-journal": of_ledger,
    "ledger/journal.jsonl": of_ledger,
    "ledger/kept/" + "0" * 64: of_kept,
    "manhole/host_key": of_host_key,
}
DIRECTORIES: dict[str, Callable[[str], None]] = {
    os.path.dirname(name): use for name, use in HOME.items() if "/" in name
} | {"removed": of_removed}
TOKENS = ("auth.token", "admin.token", "sessions/key")

WRITERS = {
    # The configuration, users' files, drafts, and what is installed, which may be links.
    "write_atomic": "system/files system/home_files system/write_back system/config_template "
    "cli/local/init cli/local/cluster_init cli/local/cluster_key cli/local/own_keys cli/service/service "
    "clientfiles/generate credentials/commands "
    "manage/shared/local_files",
    # The lock that is made by one only, what is opened by the bridge, which imports nothing, and users' own files;
    # and the template, which only notices it.
    "O_CREAT": "system/files system/home_files system/daemon_locks clientfiles/store clientfiles/backups "
    "clientfiles/replacement shim/startup cli/commands/faults/tracing system/launch/template_main",
}
"""The modules that may write to files, and how."""
KERNEL = {"system/process/freezing", "system/process/paging"}
"""The modules that write to the kernel's own files, which are in no home."""
WRITES = re.compile(r"\bopen\([^)]*\"[wax]|write_(text|bytes)\(")


@pytest.fixture
def home() -> Iterator[str]:
    """A home below a directory that other users may enter."""
    above = tempfile.mkdtemp()
    os.chmod(above, 0o755)
    os.mkdir(f"{above}/home", 0o700)
    yield f"{above}/home"
    shutil.rmtree(above)


@contextmanager
def in_time() -> Iterator[None]:
    """Break what waits for somebody who never comes."""

    def late(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(HANGS_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def used(use: Callable[[str], None], home: str) -> ConfigError | OSError | None:
    """Write and read a file; what is said when that cannot be done."""
    try:
        with in_time():
            use(home)
    except (ConfigError, OSError) as why:
        return why
    return None


def told(why: ConfigError | OSError, path: str) -> bool:
    """Return whether an error names its file and, for people, has a hint."""
    if isinstance(why, OSError):
        return path in str(why.filename) or path in str(why.filename2)
    return path in str(why) and (bool(why.hint) or isinstance(why, Misplaced))


def look(path: Path) -> object:
    """Return the parts of a path that could have been changed."""
    mode = path.stat().st_mode
    return (mode, sorted(map(look, path.iterdir()), key=str) if path.is_dir() else path.read_text())


def place(home: str, name: str, *, is_directory: bool = False) -> tuple[Path, Path]:
    """Where a file goes, and something of somebody's that nobody is to touch."""
    path, victim = Path(home, name), Path(home).parent / "victim"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_directory:
        victim.mkdir(mode=0o755)
        for each in ("f", "x.json", ".old", f"{REF}.result", "i.json"):
            (victim / each).write_text(VICTIM)
            os.utime(victim / each, (0, 0))
    else:
        victim.write_text(VICTIM)
        victim.chmod(0o644)
    return path, victim


class FileTests:
    """Something else is where a file belongs."""

    @pytest.mark.parametrize("name", HOME)
    def test_link(self, home, name):
        """A link is not followed: what it leads to stays as it is, and is not believed either."""
        path, victim = place(home, name)
        path.symlink_to(victim)
        before = look(victim)
        why = used(HOME[name], home)
        assert look(victim) == before
        assert why is None or told(why, name)
        assert why is not None or name not in TOKENS

    @pytest.mark.parametrize("name", HOME)
    def test_link_to_nothing(self, home, name):
        """Nor is a file made where a link leads."""
        path, victim = place(home, name)
        victim.unlink()
        path.symlink_to(victim)
        why = used(HOME[name], home)
        assert not os.path.lexists(victim)
        assert why is None or told(why, name)

    @pytest.mark.parametrize("name", HOME)
    def test_directory(self, home, name):
        """A directory stays, with what is in it."""
        path, victim = place(home, name, is_directory=True)
        victim.rename(path)
        before = look(path)
        why = used(HOME[name], home)
        moved = (path, path.with_name("s.log.1"))  # a log is turned over
        assert before in [look(each) for each in moved if each.exists()]
        assert why is None or told(why, name)

    @pytest.mark.parametrize("name", HOME)
    def test_pipe(self, home, name):
        """A pipe in the place of a file blocks no reader and no writer."""
        path, _ = place(home, name)
        os.mkfifo(path)
        why = used(HOME[name], home)
        assert why is None or told(why, name)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    @pytest.mark.parametrize("name", HOME)
    def test_other_owner(self, home, name):
        """Another user's file is not changed, and not believed where it matters."""
        path, victim = place(home, name)
        victim.rename(path)
        os.chown(path, STRANGER, STRANGER)
        why = used(HOME[name], home)
        assert why is None or told(why, name)
        assert why is not None or name not in (*TOKENS, "tokens.json", "daemon.lock", "logs/gateway.log")
        found = path.stat() if path.exists() else None
        assert found is None or found.st_uid != STRANGER or path.read_text() == VICTIM


class DirectoryTests:
    """Something else is where a directory belongs."""

    @pytest.mark.parametrize("name", DIRECTORIES)
    def test_link(self, home, name):
        """The target of a link keeps its mode and its files, whatever their names."""
        path, victim = place(home, name, is_directory=True)
        path.symlink_to(victim)
        before = look(victim)
        why = used(DIRECTORIES[name], home)
        assert look(victim) == before
        assert why is None or told(why, name)

    @pytest.mark.parametrize("name", DIRECTORIES)
    @pytest.mark.parametrize("kind", ["file", "pipe"])
    def test_no_directory(self, home, name, kind):
        """A file or a pipe stays, and what needs the directory says so or does without."""
        path, victim = place(home, name)
        victim.rename(path) if kind == "file" else os.mkfifo(path)
        before = path.stat().st_mode
        why = used(DIRECTORIES[name], home)
        assert path.stat().st_mode == before
        assert why is None or told(why, name)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
    @pytest.mark.parametrize("name", DIRECTORIES)
    def test_other_owner(self, home, name):
        """Another user's directory gets no file of ours, and loses none of its own."""
        path, victim = place(home, name, is_directory=True)
        victim.rename(path)
        for each in (path, *path.iterdir()):
            os.chown(each, STRANGER, STRANGER)
        before = look(path)
        why = used(DIRECTORIES[name], home)
        assert look(path) == before
        assert why is None or told(why, name)

    def test_made_by_several(self, tmp_path):
        """Programs that make a directory at the same moment are content, all of them."""
        together = Barrier(4)

        def make(path: Path) -> None:
            together.wait(20)
            home_files.make_directory(str(path))

        with ThreadPoolExecutor(4) as threads:
            for at in range(200):
                path = tmp_path / f"{at}" / "ledger" / "copies"
                assert list(threads.map(make, [path] * 4)) == [None] * 4
                assert stat.S_IMODE(path.stat().st_mode) == 0o700


class DiskTests:
    """The home takes nothing."""

    @pytest.mark.parametrize("name", [*HOME, "removed"])
    def test_no_space(self, home, name):
        """A full disk leaves no half-written file, and an indispensable write is refused."""
        use = {**HOME, **DIRECTORIES}[name]
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
        try:
            why = used(use, home)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert why is None or told(why, home)
        left = [each for each in Path(home).rglob("*") if each.is_file() and each.name.startswith(".")]
        assert [each for each in left if each.stat().st_size] == []

    @pytest.mark.parametrize("name", [*HOME, "removed"])
    def test_read_only(self, home, name):
        """A home that may not be written to is left as it is."""
        use = {**HOME, **DIRECTORIES}[name]
        os.chmod(home, 0o500)
        if os.geteuid() == 0:
            os.chown(home, STRANGER, STRANGER)
            with as_user(STRANGER):
                why = used(use, home)
        else:
            why = used(use, home)
        assert why is None or told(why, home)
        assert why is not None or name not in TOKENS


@contextmanager
def as_user(uid: int) -> Iterator[None]:
    """Be another user for a while."""
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


class HelpTests:
    """The hints of errors."""

    def test_what_to_do(self, tmp_path):
        """The error names the file, what is wrong with it, and what to do."""
        (tmp_path / "link").symlink_to("elsewhere")
        (tmp_path / "directory").mkdir()
        with pytest.raises(ConfigError, match="link: is a symbolic link") as told_of_link:
            home_files.read(str(tmp_path / "link"), 10)
        with pytest.raises(
            ConfigError, match="directory: cannot be written: Is a directory"
        ) as told_of_other:
            home_files.keep(str(tmp_path / "directory"), b"x")
        assert {told_of_link.value.advice, told_of_other.value.advice} == {Misplaced.remedy}
        with pytest.raises(FileNotFoundError):
            home_files.read(str(tmp_path / "none"), 10)

    def test_kept(self, tmp_path):
        """A written file is private, whatever stood there, and is read again; one that is too large is not."""
        path = tmp_path / "f"
        path.symlink_to("elsewhere")
        home_files.keep(str(path), b"new")
        assert not path.is_symlink()
        assert (home_files.read(str(path), 3), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)
        with pytest.raises(ConfigError, match="f: is larger than 2 bytes"):
            home_files.read(str(path), 2)

    def test_one_way(self):
        """No other module writes files: whatever is new in the home goes the same way."""
        root = Path(mcpgateway.__file__).parent
        for word, allowed in WRITERS.items():
            found = {
                str(each.relative_to(root).with_suffix(""))
                for each in root.rglob("*.py")
                if word in each.read_text()
            }
            assert found == set(allowed.split())
        programs = (each for each in root.rglob("*.py") if WRITES.search(each.read_text()))
        found = {
            str(each.relative_to(root).with_suffix(""))
            for each in programs
            if any(map(writes, ast.walk(ast.parse(each.read_text()))))
        }
        assert found == KERNEL


def writes(node: ast.AST) -> bool:
    """Return whether a piece of a program opens a file by its name to write to it; a descriptor is open already."""
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute):
        return node.func.attr in ("write_text", "write_bytes")
    named = (
        isinstance(node.func, ast.Name) and node.func.id == "open" and not isinstance(node.args[0], ast.Call)
    )
    modes = [each.value for each in node.args[1:] if isinstance(each, ast.Constant)]
    return named and any(isinstance(each, str) and set(each) & set("wax+") for each in modes)


class WriterTests:
    """Small files of which a lost one costs little."""

    def test_one_complaint(self, tmp_path):
        """The writer makes its directory; a failure is logged once, and again only after a success in between."""
        said: list[str] = []
        path = tmp_path / "below" / "f"
        writer = Writer(said.append, str(path.parent))
        assert writer.write(str(path), b"one")
        assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)] == [0o600, 0o700]
        for _ in range(2):
            path.unlink()
            path.mkdir()
            assert not writer.write(str(path), b"two")
            assert not writer.write(str(path), b"two")
            path.rmdir()
            assert writer.write(str(path), b"two")
        assert len(said) == 2
