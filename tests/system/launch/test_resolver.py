"""Finding the programs behind package runners: what is asked, remembered, doubted and looked for again."""

import json
import os
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from mcpgateway.errors import LaunchFailed
from mcpgateway.interfaces import Launch, Ran
from mcpgateway.policy.launch_probe import PROBE_MARK
from mcpgateway.protocol.versions import Era
from mcpgateway.system.launch.cache import ENTRIES_LIMIT, FILE, LaunchCache, ResolvedProgram
from mcpgateway.system.launch.resolver import REFRESH_RETRY_S, RETRY_S, Resolver

DAY_S = 86_400


class Runners:
    """Stands for npm and uv on a machine: answers as they do, from a registry that is a list of versions.

    :ivar asked: the commands that were run, in their order.
    :ivar idle: those of them that nobody waited for.
    :ivar versions: what the registry has; the last one is the latest.
    :ivar fails: whether everything fails, as without a network.
    :ivar held: answers that are kept back, while there is a list.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[str] = []
        self.idle: list[str] = []
        self.versions = ["1.0.0"]
        self.fails = False
        self.held: list[tuple[Deferred[Ran], Ran]] | None = None
        self.extra: dict[str, str] = {}
        self.npm_version = "11.0.0"
        self.begins = b"#!/bin/sh\n"
        for name in ("npx", "uvx", "npm", "bunx", "pipx"):
            program(root / "bin" / name)

    @property
    def env(self) -> dict[str, str]:
        """The environment of every entry."""
        return {"PATH": str(self.root / "bin"), "HOME": "/h", "API_TOKEN": "hush"}

    def launch(self, line: str, era: Era = Era.LEGACY, **env: str) -> Launch:
        """An entry."""
        return Launch("s", tuple(line.split()), {**self.env, **env}, str(self.root), era=era)

    def run(self, launch: Launch, *, is_idle: bool) -> Deferred[Ran]:
        """Run one of the programs."""
        line = " ".join(launch.argv)
        self.asked.append(line)
        if is_idle:
            self.idle.append(line)
        done: Deferred[Ran] = Deferred()
        ran = Ran(1, "", "no network") if self.fails else self._answer(launch)
        if self.held is None:
            done.callback(ran)
        else:
            self.held.append((done, ran))
        return done

    def release(self) -> None:
        """Give the answers that were kept back."""
        held, self.held = self.held or [], None
        for done, ran in held:
            done.callback(ran)

    def _answer(self, launch: Launch) -> Ran:
        words = launch.argv
        if words[1:] == ("--version",):
            return Ran(0, self.npm_version)
        if words[1:2] == ("view",):
            return Ran(0, json.dumps({"version": self.versions[-1], "dist-tags.latest": self.versions[-1]}))
        if words[0].endswith("npx"):
            return self._npx(launch, words[-1])
        if words[0] == "bunx":
            return self._bunx(launch, words[words.index("-p") + 1])
        if words[-2:-1] == ("-c",):
            return Ran(0, f"noise\n{self.versions[-1]}\n")
        if words[0] == "pipx":
            return self._pipx(launch, words[words.index("--spec") + 1])
        return self._uvx(launch, words[words.index("--from") + 1])

    def _pipx(self, launch: Launch, spec: str) -> Ran:
        home = self.root / "pipx" / spec
        program(home / "bin" / spec)
        return self._told(launch, "", [], executable=f"{home}/bin/python", PIP_USER="0")

    def _npx(self, launch: Launch, spec: str) -> Ran:
        modules = self.root / "cache" / "_npx" / spec.replace("/", "+") / "node_modules"
        name, _, version = spec[1:].partition("@")
        name = spec[0] + name
        version = version if version[:1].isdigit() else self.versions[-1]
        install(modules, name, version)
        shell = launch.env["npm_config_script_shell"]
        assert os.access(shell, os.X_OK)
        return self._told(
            launch, f"{modules}/.bin", ["-c", f"'{name.rpartition('/')[2]}'"], npm_command="exec"
        )

    def _bunx(self, launch: Launch, spec: str) -> Ran:
        modules = self.root / "bunx" / spec / "node_modules"
        install(modules, spec.partition("@")[0], self.versions[-1])
        return self._told(launch, f"{modules}/.bin", [], npm_command="exec")

    def _uvx(self, launch: Launch, spec: str) -> Ran:
        name = spec.partition("@")[0]
        home = self.root / "uv" / self.versions[-1]
        program(home / "bin" / name, self.begins)
        (home / "lib" / "python3.11" / "site-packages" / f"{name}-{self.versions[-1]}.dist-info").mkdir(
            parents=True, exist_ok=True
        )
        return self._told(launch, f"{home}/bin", [], UV="/uv")

    def _told(
        self, launch: Launch, folder: str, argv: list[str], executable: str = "/python", **env: str
    ) -> Ran:
        path = f"{folder}:{launch.env['PATH']}" if folder else launch.env["PATH"]
        marks = {"MCPGATEWAY_INSTANCE": "i", "MCPGATEWAY_CHILD": "i.1"}
        whole = {**launch.env, **env, **self.extra, **marks, "PATH": path}
        told = {"argv": argv, "env": whole, "executable": executable, "kib": 50_000}
        return Ran(0, f"noise\n{PROBE_MARK}{json.dumps(told)}")


def program(path: Path, begins: bytes = b"#!/bin/sh\n") -> None:
    """Make a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(begins)
    path.chmod(0o755)


def install(modules: Path, name: str, version: str) -> None:
    """Put a package into a directory, as npm does."""
    short = name.rpartition("/")[2]
    (modules / name).mkdir(parents=True, exist_ok=True)
    (modules / name / "package.json").write_text(
        json.dumps({"name": name, "version": version, "bin": "cli.js"})
    )
    program(modules / name / "cli.js")
    (modules / ".bin").mkdir(exist_ok=True)
    link = modules / ".bin" / short
    if not link.exists():
        link.symlink_to(f"../{name}/cli.js")


class House:
    """A resolver with its home, its runners and its clock."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.home.mkdir()
        self.runners = Runners(root)
        self.clock = Clock()
        self.clock.advance(1000 * DAY_S)
        self.pins: dict[str, str] = {}
        self.newer: list[tuple[str, str]] = []
        self.again()

    def again(self) -> None:
        """The gateway is started anew."""
        self.resolver = Resolver(
            str(self.home),
            self.clock.seconds,
            lambda server, _: self.pins.get(server, ""),
            lambda server, _, version: self.newer.append((server, version)),
        )

    def resolve(self, line: str, era: Era = Era.LEGACY, **env: str) -> Launch:
        """Return the launch of an entry, which must be known at once."""
        got: list[Launch] = []
        self.resolver.resolve(self.runners.launch(line, era, **env), self.runners.run).addCallback(got.append)
        (launch,) = got
        return launch

    def asked(self) -> list[str]:
        """Return the runners that have run since the last call."""
        asked, self.runners.asked = self.runners.asked, []
        return asked


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A resolver."""
    return House(tmp_path)


class ResolvingTests:
    """The first start of an entry."""

    def test_npx(self, house):
        """npx is asked with its own words, and its program is started with the environment npx would have given."""
        launch = house.resolve("npx -y @a/b --port 1")
        folder = house.runners.root / "cache/_npx/@a+b/node_modules/.bin"
        assert launch.argv == (str(folder / "b"), "--port", "1")
        assert launch.env == {
            **house.runners.env,
            "PATH": f"{folder}:{house.runners.env['PATH']}",
            "npm_command": "exec",
        }
        assert house.asked() == [f"{house.runners.root}/bin/npx --version", "npx -y @a/b"]

    def test_uvx(self, house):
        """The program of uvx is found with a probe, and started directly."""
        launch = house.resolve("uvx m --tz UTC")
        assert launch.argv == (f"{house.runners.root}/uv/1.0.0/bin/m", "--tz", "UTC")
        assert launch.env["UV"] == "/uv"
        assert house.asked() == [f"uvx --from m {house.home}/launch-probe"]

    def test_bunx(self, house):
        """bunx does not tell which program it starts: its package does."""
        launch = house.resolve("bunx b x")
        assert launch.argv == (f"{house.runners.root}/bunx/b/node_modules/.bin/b", "x")

    def test_bunx_with_another_of_that_name(self, house):
        """Where the PATH has a program of that name too, bunx chooses."""
        program(house.runners.root / "bin" / "b")
        assert house.resolve("bunx b x").argv[0] == "bunx"

    def test_pipx(self, house):
        """pipx starts a Python of the package's environment as a probe: the program is beside it."""
        launch = house.resolve("pipx run m x")
        assert launch.argv == (f"{house.runners.root}/pipx/m/bin/m", "x")
        assert launch.env == {**house.runners.env, "PIP_USER": "0"}

    def test_a_program_for_pipx_alone(self, house):
        """A package that has another program for pipx is left to it."""
        folder = house.runners.root / "pipx/m/lib/python3.11/site-packages/m-1.dist-info"
        folder.mkdir(parents=True)
        (folder / "entry_points.txt").write_text("[pipx.run]\nm = m:run\n")
        assert house.resolve("pipx run m x").argv[0] == "pipx"

    def test_a_package_without_the_program(self, house):
        """A program that is not in the package is not searched elsewhere."""
        assert house.resolve("uvx --from m nothing").argv[0] == "uvx"

    def test_it_is_told(self, house):
        """The log says which program is run, and what its runner took."""
        with capturedLogs() as events:
            house.resolve("npx -y b")
        (resolved,) = [each for each in events if each.get("event") == "launch.resolved"]
        assert (resolved["package"], resolved["version"], resolved["mib"]) == (
            "b",
            "1.0.0",
            pytest.approx(48.8, 0.01),
        )
        assert [each["program"] for each in events if each.get("event") == "launch.direct"]

    def test_once_for_many(self, house):
        """However many wait for an entry, its runner is asked once."""
        house.runners.held = []
        got: list[Launch] = []
        for number in range(5):
            launch = house.runners.launch(f"uvx m {number}")
            house.resolver.resolve(launch, house.runners.run).addCallback(got.append)
        assert not got
        house.runners.release()
        assert [each.argv[1] for each in got] == list("01234")
        assert len(house.asked()) == 1

    def test_from_the_cache(self, house):
        """Later starts ask nobody, not even after the gateway itself has been started anew without a network."""
        first = house.resolve("npx -y b x")
        house.asked()
        house.runners.fails = True
        house.again()
        assert house.resolve("npx -y b x").argv == first.argv
        assert house.resolve("npx -y b y", API_TOKEN="another").argv == (first.argv[0], "y")
        assert house.asked() == []

    @pytest.mark.parametrize(
        "change", [{"npm_config_registry": "http://r"}, {"HOME": "/other"}, {"NODE_OPTIONS": "-r x"}]
    )
    def test_what_changes_the_answer(self, house, change):
        """An entry is asked for again when something changes that has a say in it."""
        house.resolve("npx -y b")
        house.asked()
        house.resolve("npx -y b", **change)
        assert house.asked()

    def test_the_file(self, house):
        """The cache is private, and holds no secret of the entry."""
        house.resolve("npx -y b --token hush", API_TOKEN="hush", npm_config_registry="http://u:hush@r")
        path = house.home / FILE
        assert path.stat().st_mode & 0o777 == 0o600
        assert "hush" not in path.read_text()
        assert json.loads(path.read_text())["format"] == 1


class DoubtTests:
    """Commands that run as they are written."""

    @pytest.mark.parametrize("line", ["npx -c b", "npx ./b", "node x", "bun x b", "npx -y -- -b"])
    def test_not_understood(self, house, line):
        """A command that is not understood, or missing, is not even probed."""
        launch = house.runners.launch(line)
        assert house.resolve(line) == launch
        assert house.asked() == []

    def test_a_failure(self, house):
        """A runner that fails is run as it is written, and is not asked again for a while."""
        house.runners.fails = True
        with capturedLogs() as events:
            assert house.resolve("uvx m").argv == ("uvx", "m")
        assert [each["event"] for each in events if "event" in each] == ["launch.as_written"]
        house.asked()
        house.runners.fails = False
        house.resolve("uvx m")
        assert house.asked() == []
        house.clock.advance(RETRY_S)
        assert house.resolve("uvx m").argv[0].endswith("/m")

    def test_a_program_that_cannot_be_run(self, house):
        """A program that cannot be started runs as it is written."""

        def run(launch: Launch, *, is_idle: bool) -> Deferred[Ran]:
            done: Deferred[Ran] = Deferred()
            done.errback(LaunchFailed("no"))
            return done

        got: list[Launch] = []
        house.resolver.resolve(house.runners.launch("uvx m"), run).addCallback(got.append)
        assert got[0].argv == ("uvx", "m")

    def test_a_fault_of_ours(self, house):
        """A fault of the resolver does not keep a server from being started; it is logged."""

        def run(launch: Launch, *, is_idle: bool) -> Deferred[Ran]:
            raise ZeroDivisionError

        got: list[Launch] = []
        with capturedLogs() as events:
            house.resolver.resolve(house.runners.launch("uvx m"), run).addCallback(got.append)
        assert got[0].argv == ("uvx", "m")
        assert "launch.broken" in [each.get("event") for each in events]

    @pytest.mark.parametrize("version", ["8.19.4", "6.14.0", "v", ""])
    def test_an_old_npm(self, house, version):
        """Releases of npm that are too old, or none at all, are left alone."""
        house.runners.npm_version = version
        assert house.resolve("npx -y b").argv == ("npx", "-y", "b")
        assert len(house.asked()) == 1

    def test_an_odd_environment(self, house):
        """A runner that changes more of the environment than is understood is run itself."""
        house.runners.extra = {"NODE_OPTIONS": "--inspect", "LD_PRELOAD": "x"}
        assert house.resolve("uvx m").argv == ("uvx", "m")

    @pytest.mark.parametrize("begins", [b"echo no interpreter\n", b""])
    def test_a_script_for_the_shell_alone(self, house, begins):
        """A program that only a shell can start is left to it."""
        house.runners.begins = begins
        assert house.resolve("uvx m").argv == ("uvx", "m")

    def test_a_home_that_is_not_there(self, house, tmp_path):
        """Without a place for the probe, everything runs as it is written."""
        house.resolver = Resolver(str(tmp_path / "missing"), house.clock.seconds)
        assert house.resolve("uvx m").argv == ("uvx", "m")

    def test_a_program_that_others_may_change(self, house):
        """A program that anybody may write to is not started from memory."""
        launch = house.resolve("uvx m")
        os.chmod(launch.argv[0], 0o777)
        house.runners.fails = True
        assert house.resolve("uvx m").argv == ("uvx", "m")


class TrustTests:
    """Programs that do not work by themselves."""

    def test_it_works(self, house):
        """A program that speaks stays."""
        launch = house.resolve("npx -y b")
        launch.told(has_spoken=True)
        assert house.resolve("npx -y b").argv == launch.argv

    def test_it_does_not(self, house):
        """A program that ends before its first message is not started again; its runner is, for a week."""
        first = house.resolve("npx -y b")
        house.asked()
        with capturedLogs() as events:
            first.told(has_spoken=False)
        assert "launch.distrusted" in [each.get("event") for each in events]
        second = house.resolve("npx -y b")
        assert second.argv == ("npx", "-y", "b")
        second.told(has_spoken=True)
        house.again()
        assert house.resolve("npx -y b").argv == ("npx", "-y", "b")
        assert house.asked() == []
        house.clock.advance(7 * DAY_S)
        assert house.resolve("npx -y b").argv == first.argv

    def test_asked_for_another_era(self, house):
        """A server that ends because it does not know an era is not at fault, unless it always ends."""
        first = house.resolve("npx -y b", Era.MODERN)
        first.told(has_spoken=False)
        house.resolve("npx -y b").told(has_spoken=True)
        house.resolve("npx -y b", Era.MODERN).told(has_spoken=False)
        assert house.resolve("npx -y b").argv == first.argv
        house.resolve("npx -y b", Era.MODERN).told(has_spoken=False)
        assert house.resolve("npx -y b").argv == ("npx", "-y", "b")

    def test_neither_does_the_runner(self, house):
        """When the entry does not work as it is written either, the program was not to blame."""
        first = house.resolve("npx -y b")
        first.told(has_spoken=False)
        house.resolve("npx -y b").told(has_spoken=False)
        assert house.resolve("npx -y b").argv == first.argv

    def test_it_has_vanished(self, house):
        """A program that is gone is forgotten, and asked for again."""
        launch = house.resolve("uvx m")
        os.unlink(launch.argv[0])
        house.asked()
        house.runners.fails = True
        assert house.resolve("uvx m").argv == ("uvx", "m")
        assert len(house.asked()) == 1


class RefreshTests:
    """Newer versions."""

    @pytest.mark.parametrize(
        ("spec", "days", "is_due"),
        [
            ("b", 6, False),
            ("b", 8, True),
            ("b@^1", 8, True),
            ("b@latest", 0.5, False),
            ("b@latest", 2, True),
            ("b@1.0.0", 1000, False),
        ],
    )
    def test_when(self, house, spec, days, is_due):
        """A newer version is looked for after a week, a tag's after a day, an exact one's never, and once the server is
        up.
        """
        house.resolve(f"npx -y {spec}")
        house.clock.advance(days * DAY_S)
        house.asked()
        launch = house.resolve(f"npx -y {spec}")
        assert house.asked() == []
        launch.told(has_spoken=True)
        assert bool(house.asked()) is is_due
        assert bool(house.runners.idle) is is_due

    def test_nothing_new(self, house):
        """Where the registry has nothing newer, nothing is installed and it is well for another week."""
        first = house.resolve("npx -y b")
        house.clock.advance(8 * DAY_S)
        house.asked()
        house.resolve("npx -y b").told(has_spoken=True)
        assert house.asked() == ["npm view b@latest version dist-tags.latest --json"]
        house.resolve("npx -y b").told(has_spoken=True)
        assert house.asked() == []
        assert house.resolve("npx -y b").argv == first.argv

    def test_a_newer_one(self, house):
        """A newer version is told of; the next start is that of the known one."""
        first = house.resolve("npx -y b x")
        house.clock.advance(8 * DAY_S)
        house.runners.versions.append("1.1.0")
        house.resolve("npx -y b x").told(has_spoken=True)
        assert house.newer == [("s", "1.1.0")]
        assert house.resolve("npx -y b x").argv == first.argv

    @pytest.mark.parametrize("line", ["uvx m", "pipx run m"])
    def test_python(self, house, line):
        """The runners for Python install the newest version beside others, and its Python prints it."""
        first = house.resolve(line)
        house.clock.advance(8 * DAY_S)
        house.runners.versions.append("1.1.0.post1")
        house.asked()
        house.resolve(line).told(has_spoken=True)
        assert house.newer == [("s", "1.1.0.post1")]
        assert house.asked()[0].endswith("print(importlib.metadata.version('m'))")
        assert house.resolve(line).argv == first.argv

    def test_switched_off(self, house):
        """Without a taker of newer versions no registry is asked."""
        house.resolve("npx -y b")
        house.resolver = Resolver(str(house.home), house.clock.seconds)
        house.clock.advance(8 * DAY_S)
        house.asked()
        house.resolve("npx -y b").told(has_spoken=True)
        assert house.asked() == []

    def test_without_a_network(self, house):
        """A version that cannot be looked for is looked for later; the program stays."""
        first = house.resolve("npx -y b")
        house.clock.advance(8 * DAY_S)
        house.runners.fails = True
        house.resolve("npx -y b").told(has_spoken=True)
        house.asked()
        house.resolve("npx -y b").told(has_spoken=True)
        assert house.asked() == []
        house.clock.advance(REFRESH_RETRY_S)
        again = house.resolve("npx -y b")
        again.told(has_spoken=True)
        assert again.argv == first.argv
        assert len(house.asked()) == 1

    def test_lost_meanwhile(self, house):
        """A record that was dropped while it waited for its turn, or was looked up, does not come back."""
        first, second = house.resolve("uvx a"), house.resolve("uvx b")
        house.clock.advance(8 * DAY_S)
        house.runners.held = []
        first, second = house.resolve("uvx a"), house.resolve("uvx b")
        for launch in (first, second):
            launch.told(has_spoken=True)
        for launch in (first, second):
            launch.told(has_spoken=False)
        house.runners.release()
        assert house.resolve("uvx a").argv == ("uvx", "a")
        assert house.resolve("uvx b").argv == ("uvx", "b")

    def test_a_fault_of_ours(self, house):
        """A mistake in here ends neither the server nor the looking; it is in the log."""
        house.resolve("npx -y b")
        house.clock.advance(8 * DAY_S)
        launch = house.resolve("npx -y b")
        house.runners.versions.clear()
        with capturedLogs() as events:
            launch.told(has_spoken=True)
        assert "launch.broken" in [each.get("event") for each in events]
        assert house.resolve("npx -y b").argv == launch.argv

    def test_one_at_a_time(self, house):
        """Several that are due are looked for one after the other."""
        for name in "abc":
            house.resolve(f"uvx {name}")
        house.clock.advance(8 * DAY_S)
        launches = [house.resolve(f"uvx {name}") for name in "abc"]
        house.asked()
        house.runners.held = []
        for launch in launches:
            launch.told(has_spoken=True)
        assert len(house.asked()) == 1
        house.runners.release()
        assert len(house.asked()) == 2


class PinTests:
    """Versions of the lock."""

    def test_as_found(self, house):
        """The version that was found first is started from where it is."""
        first = house.resolve("npx -y b")
        assert (first.package.version, first.package.requested) == ("1.0.0", "")
        house.pins["s"] = "1.0.0"
        house.asked()
        assert house.resolve("npx -y b").argv == first.argv
        assert house.asked() == []

    def test_another(self, house):
        """Another version is asked for by its number, and keeps the age of the entry."""
        house.resolve("npx -y b x")
        house.runners.versions.append("1.1.0")
        house.pins["s"] = "1.1.0"
        launch = house.resolve("npx -y b x")
        assert "/b@1.1.0/" in launch.argv[0]
        assert launch.argv[1:] == ("x",)
        assert launch.package.version == "1.1.0"
        house.runners.versions.append("1.2.0")
        house.clock.advance(8 * DAY_S)
        launch.told(has_spoken=True)
        assert house.newer == [("s", "1.2.0")]

    def test_overwritten(self, house):
        """A version that its runner has overwritten meanwhile is asked for by its number."""
        first = house.resolve("npx -y b")
        house.pins["s"] = "1.0.0"
        install(Path(first.argv[0]).parent.parent, "b", "2.0.0")
        assert "/b@1.0.0/" in house.resolve("npx -y b").argv[0]

    def test_as_written(self, house):
        """An entry that is run as it is written gets the version into its words, and its program is not tried again."""
        first = house.resolve("npx -y b x")
        house.pins["s"] = "1.0.0"
        first.told(has_spoken=False)
        assert house.resolve("npx -y b x").argv == ("npx", "-y", "b@1.0.0", "x")

    def test_installed_elsewhere(self, house):
        """A package that npm has found in a project is the project's."""
        house.resolve("npx -y b")
        os.rename(house.runners.root / "cache/_npx", house.runners.root / "cache/project")
        house.pins["s"] = "0.9.0"
        text = (house.home / FILE).read_text().replace("_npx", "project")
        (house.home / FILE).write_text(text)
        house.again()
        launch = house.resolve("npx -y b")
        assert "/project/b/" in launch.argv[0]
        assert launch.package is None


class CacheTests:
    """The file."""

    def test_round_trip(self, tmp_path):
        """A record is found again."""
        found = ResolvedProgram("/p", "/x:", {"A": "1"}, ("B",), "b", "1.0.0", 7.0, 8, 9.0)
        LaunchCache(str(tmp_path)).keep("k", found)
        again = LaunchCache(str(tmp_path))
        assert again.find("k") == found
        again.drop("k")
        assert LaunchCache(str(tmp_path)).find("k") is None

    def test_of_a_newer_gateway(self, tmp_path):
        """A file of a newer format is neither read nor written over."""
        text = '{"format": 2, "things": []}'
        (tmp_path / FILE).write_text(text)
        cache = LaunchCache(str(tmp_path))
        cache.keep("k", ResolvedProgram("/p"))
        assert cache.find("k") == ResolvedProgram("/p")
        assert (tmp_path / FILE).read_text() == text

    @pytest.mark.parametrize(
        "text", ["", "[]", "{", '{"format": "x"}', '{"format": 1, "entries": {"k": 1}}', "{}"]
    )
    def test_garbage(self, tmp_path, text):
        """A file that cannot be read is begun anew."""
        (tmp_path / FILE).write_text(text)
        cache = LaunchCache(str(tmp_path))
        assert cache.find("k") is None
        cache.keep("k", ResolvedProgram("/p"))
        assert LaunchCache(str(tmp_path)).find("k") == ResolvedProgram("/p")

    def test_a_bound(self, tmp_path):
        """The record that was used longest ago gives way."""
        cache = LaunchCache(str(tmp_path))
        cache._entries = {
            str(number): ResolvedProgram("/p", checked_at=number) for number in range(ENTRIES_LIMIT)
        }
        cache.keep("new", ResolvedProgram("/p", checked_at=1e9))
        assert cache.find("0") is None
        assert cache.find("1") is not None

    def test_a_full_disk(self, tmp_path):
        """Without a place for the file, what is found is known for this run."""
        cache = LaunchCache(str(tmp_path / "missing"))
        with capturedLogs() as events:
            cache.keep("k", ResolvedProgram("/p"))
        assert cache.find("k") == ResolvedProgram("/p")
        assert [each["event"] for each in events] == ["launch.unwritten"]
