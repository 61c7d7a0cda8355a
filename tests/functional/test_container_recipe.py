"""The recipe of the container: what it says, and that what it says works where nothing but the home can be written.

No image is fetched: the programs of the recipe run in an empty one, with the interpreter of this machine.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import engines
from tests.support.engines import Engine
from tests.support.gateway import eventually
from twisted import plugins

pytestmark = pytest.mark.functional

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "tap" / "container" / "Containerfile"
SITE = "/site"


def instructions() -> list[tuple[str, str]]:
    """The instructions of the recipe, each a word and the rest of its line."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line and not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines())]


def last(word: str) -> str:
    """The words after the last instruction of this name."""
    return [rest for name, rest in instructions() if name == word][-1]


def health_command() -> list[str]:
    """The command by which the engine sees whether the gateway is well."""
    found: list[str] = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    return found


class RecipeTests:
    """Instructions of the recipe."""

    def test_not_root(self) -> None:
        """The user of the container is not root, by its number; instructions that need root come before."""
        user = last("USER")
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
        words = [word for word, _ in instructions()]
        assert "RUN" not in words[words.index("USER") :]
        assert f"--uid {user.partition(':')[0]}" in " ".join(
            rest for word, rest in instructions() if word == "RUN"
        )

    def test_it_is_twist(self) -> None:
        """The entry point is ``twist mcpgateway`` without a shell, so that SIGTERM reaches it."""
        entry = json.loads(last("ENTRYPOINT"))
        assert (entry[0], entry[-1]) == ("twist", "mcpgateway")
        assert last("STOPSIGNAL") == "SIGTERM"
        assert last("EXPOSE") in json.loads(last("CMD"))

    def test_its_health(self) -> None:
        """There is a health check, and it needs neither the port nor a token."""
        assert health_command() == ["mcpgateway", "health"]

    def test_what_is_copied_is_enough(self, site: Path) -> None:
        """The package can be built of the files that are copied, and is whole."""
        found = {str(each.relative_to(site)) for each in site.rglob("*") if each.is_file()}
        ours = {
            str(each.relative_to(ROOT))
            for each in (ROOT / "mcpgateway").rglob("*")
            if each.is_file() and "__pycache__" not in each.parts
        }
        assert ours <= found
        assert "twisted/plugins/mcpgateway_dropin.py" in found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed as the recipe does it; what builds it is fetched."""
    source = tmp_path_factory.mktemp("src")
    for word, rest in instructions():
        if word == "COPY":
            *names, target = rest.split()
            copy(names, source, target)
    made = tmp_path_factory.mktemp("site")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-compile",
    ]
    argv = [*pip, "--target", str(made), str(source)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done
    made.chmod(0o755)
    lister = [str(Path(sys.executable).parent / "twist"), "--help"]
    environ = {**os.environ, "PYTHONPATH": str(made)}
    subprocess.run(lister, env=environ, capture_output=True, timeout=60, check=True)
    for place in (made / "twisted" / "plugins", *map(Path, plugins.__path__)):
        for each in place.glob("dropin.cache"):
            each.chmod(0o644)  # a gateway in the background writes for its own user only
    return made


def copy(names: list[str], source: Path, target: str) -> None:
    """Do as COPY does."""
    for name in names:
        at = source / target.removeprefix("/src").strip("/")
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, at, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(ROOT / name, at)


class Container:
    """A container whose root is read-only, with the programs of the recipe in it.

    :ivar home: the one directory that can be written to.
    """

    def __init__(self, engine: Engine, site: Path, home: Path) -> None:
        self._engine = engine
        self._name = f"mcpgateway-recipe-{secrets.token_hex(6)}"
        self.home = home
        home.mkdir(mode=0o700)
        user = last("USER")
        os.chown(home, *map(int, user.split(":")))
        venv = sys.prefix
        options = [f"--volume={each}:{each}:ro" for each in dict.fromkeys((*engines.mounted(), venv))]
        options += [f"--volume={site}:{SITE}:ro", f"--volume={home}:{last('WORKDIR')}"]
        options += [f"--env={rest}" for word, rest in instructions() if word == "ENV"]
        options += [f"--env=PYTHONPATH={SITE}", f"--env=PATH={venv}/bin:/usr/bin:/bin", "--network=none"]
        options += [f"--user={user}", f"--workdir={last('WORKDIR')}"]
        self._options = [*options, *self._documented()]

    def _documented(self) -> list[str]:
        # As the comment in the recipe, which is its documentation, has it.
        text = re.sub(r"(?m)^#\s*|\\$", "", DOCKERFILE.read_text().partition("FROM")[0]).replace("\n", " ")
        words = shlex.split(text.partition("docker run")[2].partition(" With the host")[0])
        found = [word for word in words if word in {"--read-only", "--cap-drop", "--security-opt", "--tmpfs"}]
        assert len(found) == 4
        values = {word: words[words.index(word) + 1] for word in found if word != "--read-only"}
        return ["--read-only", *(f"{word}={value}" for word, value in values.items())]

    def start(self, *options: str) -> None:
        """Run it with its own command line."""
        entry, *more = json.loads(last("ENTRYPOINT"))
        words = [*more, *json.loads(last("CMD")), *options]
        argv = ["run", "--detach", f"--name={self._name}", *self._options, f"--entrypoint={entry}"]
        done = self._engine.run(*argv, self._engine.image, *words)
        assert done.returncode == 0, done

    def inside(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run something in it."""
        return self._engine.run("exec", self._name, *argv)

    @property
    def log(self) -> str:
        """The container's output so far."""
        done = self._engine.run("logs", self._name)
        return done.stdout + done.stderr

    def stop(self) -> int:
        """End it as its engine does; its exit code."""
        self._engine.run("stop", "--time=30", self._name)
        code = self._engine.run("inspect", "--format={{.State.ExitCode}}", self._name).stdout
        return int(code)

    def remove(self) -> None:
        """Have nothing left of it."""
        self._engine.run("rm", "--force", self._name)


@pytest.fixture
def container(site: Path, tmp_path: Path) -> Iterator[Container]:
    """A container of the recipe, started."""
    engine = engines.real()
    if engine is None:
        pytest.skip("no engine runs containers here")
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory to the user of the recipe")
    found = Container(engine, site, tmp_path / "home")
    try:
        found.start()
        yield found
    finally:
        found.remove()


class RunningTests:
    """A container of the recipe whose root is read-only."""

    def test_it_serves(self, container: Container) -> None:
        """The container serves its demo servers as a user that is not root, and writes to its home only."""
        eventually(lambda: "clock is served at" in container.log, "the gateway serves")
        code = (
            "import json, os, urllib.request as u;"
            "r = u.Request('http://127.0.0.1:9100/clock/mcp', json.dumps({'jsonrpc': '2.0', 'id': 1,"
            " 'method': 'tools/list'}).encode(), {'Content-Type': 'application/json'});"
            "print(os.getuid(), u.urlopen(r, timeout=30).read().decode())"
        )
        answered = container.inside("python", "-c", code)
        assert answered.stdout.startswith("1000 "), (answered, container.log)
        assert '"name": "now"' in answered.stdout
        assert container.inside("sh", "-c", "echo > /written").returncode != 0
        assert (container.home / ".mcp-gateway" / "config.yaml").exists()
        assert "Traceback" not in container.log
        assert "Unable to write" not in container.log
        assert container.stop() in {0, 143}

    def test_its_health(self, container: Container) -> None:
        """The health check passes while it runs, and fails where it does not."""
        eventually(lambda: container.inside(*health_command()).returncode == 0, "it is healthy")
        elsewhere = container.inside("mcpgateway", "--home", "/tmp/none", *health_command()[1:])
        assert elsewhere.returncode != 0
