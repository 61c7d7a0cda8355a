"""Secrets from outside of all files, in a gateway as it runs."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from tests.support import forkserver
from tests.support.gateway import BIN, Gateway, eventually, server
from tests.support.keyrings import fill, keyring
from tests.support.processes import environment_of, texts_below
from tests.support.real_servers import fixture

pytestmark = pytest.mark.functional

VALUES = {"TOKEN": "${keyring:github/ada}", "MADE": "${cmd:sh -c 'echo made-by-$$ | tee -a made; sleep 0.2'}"}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux tells what a process was started with")
class GatewayTests:
    def test_start_and_reload(self, tmp_path):
        """A server has them; when a file changes they are asked for anew; they are in no log, answer or file."""
        environ = keyring(tmp_path, **{"github|ada": "first-hunter2", "a|word": "sesame-opens"})
        argv = ("sh", "-c", f"echo it is $GREETING >&2; exec {shlex.join(fixture())}")
        values = {**VALUES, "GREETING": "${keyring:a/word}"}
        gateway = Gateway(tmp_path, {"a": server(argv, env=values, lazy=False)}, environ=environ)
        text = gateway.config.read_text()
        allowed = {**json.loads(text), "secrets": {"allow_cmd": True}}
        gateway.config.write_text(json.dumps(allowed))
        with gateway:
            eventually(gateway.children, "the server runs")
            (first,) = gateway.children()
            env = environment_of(first)
            assert env["TOKEN"] == "first-hunter2"
            assert env["MADE"] == (tmp_path / "made").read_text().strip()
            fill(tmp_path, **{"github|ada": "second-hunter2", "a|word": "sesame-opens"})
            gateway.config.write_text(json.dumps({**allowed, "version": 2}))
            eventually(
                lambda: (
                    [environment_of(each).get("TOKEN") for each in gateway.children()] == ["second-hunter2"]
                ),
                "the server is started with what is new",
            )
            assert gateway.health()["config"]["ok"]
            said = gateway.log + json.dumps(gateway.health())
            state = texts_below(gateway.home)
            assert "hunter2" not in said + state
            assert "sesame" not in said + state
            assert "it is ***REDACTED***" in state
            assert "made-by-" not in said + state

    def test_discover(self, tmp_path):
        """Also a command that starts servers itself, where no gateway runs, asks for what they are given."""
        home = tmp_path / "home"
        home.mkdir(mode=0o700)
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MCPGATEWAY_HOME": str(home)}
        text = {
            "secrets": {"allow_cmd": True},
            "servers": {"a": server(fixture(), env={"T": VALUES["MADE"]})},
        }
        (home / "config.json").write_text(json.dumps(text))
        for words, runs in ((("config", "check"), 0), (("discover",), 1), (("validate", "--server", "a"), 2)):
            argv = [str(BIN / "mcpgateway"), *words]
            forkserver.ran(argv, env=environ, cwd=tmp_path)
            made = tmp_path / "made"
            assert (made.read_text().count("made-by") if made.exists() else 0) == runs

    def test_refused(self, tmp_path):
        """Where commands are not allowed, the gateway does not start, and runs none."""
        gateway = Gateway(tmp_path, {"a": server(fixture(), env=VALUES)}, environ={"NAME": os.devnull})
        with pytest.raises(
            AssertionError, match=r"config\.json, line 1: servers\.a\.env\.MADE: takes what a command"
        ):
            gateway.start()
        assert not (tmp_path / "made").exists()
