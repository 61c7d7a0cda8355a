"""The command lines that containers are run with."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcpgateway.backends import container
from mcpgateway.backends.container import engine_environment, launch_container, prepare_container
from mcpgateway.config.reach_settings import Container
from mcpgateway.interfaces import GatewayRun, Launch


class Programs:
    """Notes what would be started."""

    def __init__(self) -> None:
        self.launches: list[Launch] = []

    def launch(self, launch: Launch, receiver: object) -> None:
        """Start nothing."""
        self.launches.append(launch)


@pytest.fixture
def engine(tmp_path: Path) -> str:
    """A directory with command lines in it."""
    for name in ("docker", "podman"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o700)
    return str(tmp_path)


def run(path: str, *options: str, env: dict[str, str] | None = None, **more: str) -> Launch:
    """Return the launch of a container with these options."""
    programs = Programs()
    given = {"PATH": path, **(env or {})}
    named = [word for name in env or {} for word in ("-e", name)]
    reach = Container("image:1", more.get("engine", ""), (*options, *named))
    launch_container(
        None, programs, Launch("A b", ("go", "now"), given, "/", reach), None, GatewayRun("/h", "i")
    )
    (made,) = programs.launches
    assert made.reach is None
    return made


def options_of(launch: Launch) -> list[str]:
    """The part of a command line that depends on what was written."""
    argv = list(launch.argv)
    return argv[argv.index("mcpgateway.home=/h") + 1 : argv.index("image:1")]


class CommandTests:
    """The words of the command line."""

    def test_all_of_it(self, engine: str) -> None:
        """The container is attached, removed, reaped, named and labelled; image and command come last."""
        argv = list(run(engine).argv)
        name = argv.pop(6)
        assert name.startswith("mcpgateway-A-b-")
        assert argv == [
            f"{engine}/docker",
            *("run", "--interactive", "--rm", "--init", "--name"),
            *("--label", "mcpgateway.instance=i", "--label", "mcpgateway.server=A b"),
            *("--label", "mcpgateway.home=/h", "image:1", "go", "now"),
        ]
        assert run(engine).argv[6] != name

    @pytest.mark.parametrize(
        ("written", "kept"),
        [
            (["-i", "-it", "-ti", "-d", "--rm", "--tty", "--init", "--interactive=true"], []),
            (["--name", "x", "--name=y", "--restart", "always", "-a", "stdin"], []),
            (["-v", "/a:/b", "--network=none", "-p", "1:1"], ["-v", "/a:/b", "--network=none", "-p", "1:1"]),
            (["-e", "A=secret", "--env", "B=secret", "--env=C=secret", "-eD=secret"], [*"ABCD"]),
            (["-e", "A", "--env-file", "f"], ["A", "--env-file", "f"]),
            (["--volume", "-e", "A", "-e"], ["A", "", "--volume"]),
        ],
    )
    def test_options(self, engine: str, written: list[str], kept: list[str]) -> None:
        """The options of an entry are kept, but for those that are ours to decide and for the values of variables."""
        made = run(engine, *written)
        assert [each for each in options_of(made) if each != "--env"] == kept
        for name in set(kept) & set("BCD"):
            assert made.env[name] == "secret"

    def test_no_init(self, engine: str) -> None:
        """An entry that wants no init gets none."""
        assert "--init" not in run(engine, "--init=false").argv

    def test_variables(self, engine: str) -> None:
        """Values are in the environment; only what the command line itself lives by is written out."""
        made = run(engine, env={"KEY": "secret", "HOME": "/box", "DOCKER_HOST": "tcp://box"})
        assert options_of(made) == [
            *("--env", "KEY", "--env", "HOME=/box", "--env", "DOCKER_HOST=tcp://box"),
        ]
        assert made.env["KEY"] == "secret"
        assert made.env["HOME"] != "/box"
        assert made.env.get("DOCKER_HOST") != "tcp://box"

    def test_engines(self, engine: str, tmp_path: Path) -> None:
        """The engine is the one that is named, else Docker, else Podman."""
        assert run(engine).argv[0] == f"{engine}/docker"
        assert run(engine, engine="podman").argv[0] == f"{engine}/podman"
        assert run(engine, engine="/opt/docker").argv[0] == "/opt/docker"
        (tmp_path / "docker").unlink()
        assert run(engine).argv[0] == f"{engine}/podman"

    def test_the_engines_own_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The command line finds its engine as it does for whoever started the gateway."""
        monkeypatch.setenv("DOCKER_CONTEXT", "there")
        monkeypatch.setenv("STRAY", "here")
        env = engine_environment(Launch("s", (), {"A": "1"}, "/", Container("image")))
        assert env["DOCKER_CONTEXT"] == "there"
        assert "STRAY" not in env


class PrepareTests:
    """Preparations before a container is run."""

    def test_no_engine(self, tmp_path: Path) -> None:
        """Where nothing can be prepared, the launch itself has to say so."""
        launch = Launch("s", (), {"PATH": str(tmp_path)}, "/", Container("image"))
        found: list[Launch] = []
        prepare_container(None, Programs(), launch).addCallback(found.append)
        assert found == [launch]

    @pytest.mark.parametrize(
        ("options", "platform"),
        [
            ((), ()),
            (("-v", "x", "--platform=p"), ("--platform=p",)),
            (("--platform", "p"), ("--platform", "p")),
        ],
    )
    def test_platform(self, options: tuple[str, ...], platform: tuple[str, ...]) -> None:
        """An image is fetched for the platform that it is run on."""
        assert container._platform(options) == platform
