"""The machine as commands know it before they do anything."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mcpgateway.clientfiles.machine import as_it_runs
from mcpgateway.system import state
from mcpgateway.system.process.procfs import start_time
from mcpgateway.system.settings import LoadOptions
from tests.support.gateway import eventually

RUNS = ("twistd", "-n", "mcpgateway")


def runs(home: Path, *options: str) -> str:
    """Have a gateway of a home run, which this process pretends to be."""
    state.write(str(home), state.myself(9100, "1", 0.0, (*RUNS, *options), ()))
    return str(home)


class RunningTests:
    """Which files commands read that work without asking the gateway."""

    @pytest.mark.parametrize("spelled", [("--config", "/a.yaml"), ("-c", "/a.yaml"), ("--config=/a.yaml",)])
    def test_those_it_reads(self, tmp_path: Path, spelled: tuple[str, ...]) -> None:
        """Commands read the files that were named for the running gateway."""
        home = runs(tmp_path, *spelled, "--env-file", "/b", "--source", "/c", "--source", "/d")
        found = as_it_runs(LoadOptions(home=home), home)
        assert (found.config, found.env_file, found.sources) == ("/a.yaml", "/b", ("/c", "/d"))

    def test_what_is_named(self, tmp_path: Path) -> None:
        """Files that are named are read, and nothing beside them; a file of values may be named alone."""
        home = runs(tmp_path, "--config", "/a.yaml", "--env-file", "/b")
        named = LoadOptions("/mine", (), home)
        assert as_it_runs(named, home) is named
        found = as_it_runs(LoadOptions(home=home, env_file="/mine"), home)
        assert (found.config, found.env_file) == ("/a.yaml", "/mine")

    def test_where_it_runs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that was named from where the gateway runs is read from there."""
        (tmp_path / "a.yaml").touch()
        monkeypatch.chdir(tmp_path)
        found = as_it_runs(LoadOptions(home=str(tmp_path)), runs(tmp_path, "--config", "a.yaml"))
        assert found.config == str(tmp_path / "a.yaml")

    def test_the_usual_ones(self, tmp_path: Path) -> None:
        """Where none runs, nothing was named for it, or nobody knows where that is, they are the usual ones."""
        usual = LoadOptions(home=str(tmp_path))
        assert as_it_runs(usual, str(tmp_path)) is usual
        assert as_it_runs(usual, runs(tmp_path)) == usual
        assert as_it_runs(usual, runs(tmp_path, "--config", "a.yaml")) == usual

    @pytest.mark.parametrize(
        "spelled", [("--port", "9100"), ("-p", "9100"), ("--port=9100",), ("--port", "0")]
    )
    def test_its_port(self, tmp_path: Path, spelled: tuple[str, ...]) -> None:
        """The port that was named for it counts, which is the one that it has; so do its demo servers."""
        home = runs(tmp_path, *spelled, "--demo")
        found = as_it_runs(LoadOptions(home=home), home)
        assert (found.port, found.demo) == (9100, True)

    def test_by_a_variable(self, tmp_path: Path) -> None:
        """The configuration that the running gateway's environment names is read, whatever ours names."""
        named = tmp_path / "named.yaml"
        named.touch()
        environ = {"MCPGATEWAY_CONFIG": str(named)}
        with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, env=environ) as other:
            try:
                running = state.myself(9100, "1", 0.0, RUNS, ())._replace(
                    pid=other.pid, start_time=start_time(other.pid)
                )
                state.write(str(tmp_path), running)
                home = str(tmp_path)
                eventually(
                    lambda: as_it_runs(LoadOptions(home=home), home).config == str(named), "it is seen"
                )
            finally:
                other.kill()
