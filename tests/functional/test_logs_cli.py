"""Logs and events at the command line."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.functional.test_logs import SECRET, post, talker
from tests.support.gateway import BIN, LIMIT_S, Gateway, eventually
from tests.support.older import older

pytestmark = pytest.mark.functional


@contextmanager
def command(
    home: Path, *words: str, program: str = "mcpgateway"
) -> Iterator[tuple[subprocess.Popen[bytes], Path, Path]]:
    """A command that goes on, and the files of what it says."""
    out, err = home.parent / "out", home.parent / "err"
    argv = [str(BIN / program), "--home", str(home), *words]
    environ = {"PATH": os.environ["PATH"], "HOME": str(home.parent), "LANG": "C.UTF-8"}
    with out.open("wb") as said, err.open("wb") as complained:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=said, stderr=complained, env=environ
        )
    try:
        yield process, out, err
    finally:
        process.kill()
        process.wait(LIMIT_S)


class CommandTests:
    """``mcpgateway logs`` and ``mcpgateway debug events``."""

    def test_what_there_is(self, tmp_path: Path) -> None:
        """Without following, the lines that there are are printed, for programs each as an object."""
        with Gateway(tmp_path, {"talker": talker(tmp_path)}) as gateway:
            post(gateway, "talker", "tools/list")
            with command(gateway.home, "logs", "talker", "--no-follow") as (process, out, _):
                assert process.wait(LIMIT_S) == 0
                assert "stderr hello from the child" in out.read_text()
                assert SECRET not in out.read_text()
            with command(gateway.home, "logs", "talker", "--no-follow", "--tail", "1", "--json") as (
                process,
                out,
                _,
            ):
                assert process.wait(LIMIT_S) == 0
                (line,) = out.read_text().splitlines()
                assert set(json.loads(line)) == {"time", "source", "text"}
            with command(gateway.home, "events", "--no-follow", "--kind", "server.served") as (
                process,
                out,
                _,
            ):
                assert process.wait(LIMIT_S) == 0
                assert "talker is served at" in out.read_text()

    def test_the_latest_lines(self, tmp_path: Path) -> None:
        """Each log is shown up to its end: of a server, of the gateway, of calls and of events."""
        with Gateway(tmp_path, {"talker": talker(tmp_path)}) as gateway:
            post(gateway, "talker", "tools/call", name="talk", arguments={"lines": 1})
            for words, expected in (
                ("talker", "stderr hello from the child"),
                ("talker --since 1h", "stderr hello from the child"),
                ("--calls", "talker talk"),
                ("talker --calls --since 1h", "talker talk"),
                ("--events", "talker is served at"),
                ("talker --events -n 1000", "talker is served at"),
            ):
                with command(gateway.home, "logs", *words.split()) as (process, out, err):
                    assert process.wait(LIMIT_S) == 0, err.read_text()
                    assert expected in out.read_text(), words
            with command(gateway.home, "logs", "talker", "--since", "1ms") as (process, out, err):
                assert (process.wait(LIMIT_S), out.read_text()) == (0, "")
                assert "mcpgateway why talker" in err.read_text()

    @older("mcp-gateway", "mcp-ctl logs", "``mcpgateway logs`` ends after the latest lines.")
    def test_mcp_ctl(self, tmp_path: Path) -> None:
        """Shows the latest lines of a server's log, and follows it."""
        with Gateway(tmp_path, {"talker": talker(tmp_path)}) as gateway:
            post(gateway, "talker", "tools/list")
            with command(gateway.home, "logs", "talker", program="mcp-ctl") as (process, out, _):
                eventually(lambda: "hello from the child" in out.read_text(), "the history")
                post(gateway, "talker", "tools/call", name="talk", arguments={"lines": 1})
                eventually(lambda: out.read_text().count("hello from the child") == 1, "each line once")
                assert process.poll() is None
            with command(gateway.home, "logs", "talker", "--no-follow", program="mcp-ctl") as (process, *_):
                assert process.wait(LIMIT_S) == 0

    def test_calls(self, tmp_path: Path) -> None:
        """The log of calls goes on with the calls of tools that are made meanwhile, each once."""
        with Gateway(tmp_path, {"talker": talker(tmp_path)}) as gateway:
            for number in (1, 2):
                post(gateway, "talker", "tools/call", name="talk", arguments={"lines": number})
            with command(gateway.home, "logs", "--calls", "-f", "-n", "1") as (process, out, _):
                eventually(lambda: out.read_text().count("talker talk") == 1, "the latest call")
                post(gateway, "talker", "tools/call", name="talk", arguments={"lines": 1})
                eventually(lambda: out.read_text().count("talker talk") == 2, "the new call")
                lines = out.read_text().splitlines()
                assert len({each.split("  ")[1] for each in lines}) == len(lines)
                assert process.poll() is None

    def test_latest_events(self, tmp_path: Path) -> None:
        """The log of events that is followed begins with the latest ones, as many as are wanted, and goes on."""
        with Gateway(tmp_path, {"talker": talker(tmp_path)}) as gateway:
            post(gateway, "talker", "tools/list")
            with command(gateway.home, "logs", "--events") as (process, out, _):
                assert process.wait(LIMIT_S) == 0
                known = out.read_text().splitlines()
            assert len(known) > 2
            with command(gateway.home, "logs", "--events", "-f", "-n", "2") as (process, out, _):
                eventually(lambda: len(out.read_text().splitlines()) >= 2, "the latest events")
                gateway.stop()
                gateway.start()
                eventually(lambda: out.read_text().count("talker is served at") >= 1, "the new events")
                lines = out.read_text().splitlines()
                assert lines[:2] == known[-2:]
                assert set(lines[2:]).isdisjoint(known)
                assert process.poll() is None

    def test_a_gateway_that_comes_back(self, tmp_path: Path) -> None:
        """A command that follows comes back to the gateway, and reads each line once."""
        with Gateway(tmp_path, {"talker": talker(tmp_path)}) as gateway:
            post(gateway, "talker", "tools/list")
            with command(gateway.home, "logs", "talker", "-f") as (process, out, err):
                eventually(lambda: "hello from the child" in out.read_text(), "the history")
                gateway.stop()
                eventually(lambda: "again in" in err.read_text(), "it says that it waits")
                gateway.start()
                post(gateway, "talker", "tools/call", name="talk", arguments={"lines": 1})
                eventually(lambda: out.read_text().count("hello from the child") == 2, "the new lines")
                lines = out.read_text().splitlines()
                assert len(set(lines)) == len(lines)
                assert process.poll() is None

    def test_refusals(self, tmp_path: Path) -> None:
        """An unknown server is an error, no gateway is another, and a server that is removed ends it."""
        with Gateway(tmp_path, {"talker": talker(tmp_path)}) as gateway:
            with command(gateway.home, "logs", "nobody") as (process, _, err):
                assert process.wait(LIMIT_S) == 1
                assert "Unknown server: nobody" in err.read_text()
            with command(gateway.home, "logs", "talker", "--follow") as (process, out, err):
                eventually(lambda: "is served at" in out.read_text(), "it follows")
                gateway.config.write_text(gateway.configured({}))
                assert process.wait(LIMIT_S) == 1
                assert "Unknown server: talker" in err.read_text()
            with command(gateway.home, "logs", "talker", "-f", "--no-reconnect") as (process, out, err):
                assert process.wait(LIMIT_S) == 1
        with command(gateway.home, "events") as (process, _, err):
            assert process.wait(LIMIT_S) == 2
