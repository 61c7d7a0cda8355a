"""Agents at a machine of their own, whose file uses the gateway in one of its modes, or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from attrs import define

from tests.bench.procs import tree
from tests.clients.adopting import CLIENTS, Program
from tests.clients.agents import Ask, ask_claude_code, ask_codex, ask_gemini_cli, ask_opencode
from tests.clients.program import Home
from tests.clients.scripted_model import Decide, ScriptedModel, Step
from tests.support.processes import command_line
from tests.support.user import User

URL, SHIM = "http", "fail-open"  # the options of ``mcpgateway clients apply``
MODES = (URL, SHIM)
DIRECT = "direct"  # the client starts its server itself
AGENTS: Mapping[str, Ask] = {
    "claude-code": ask_claude_code,
    "codex": ask_codex,
    "gemini": ask_gemini_cli,
    "opencode": ask_opencode,
}
IT, ASIDE = "it", "aside"  # the server that may be behind the gateway; one that the client starts itself
ECHO, PID = "echo", "pid"  # only the answer of the second one is never part of an error
WAIT = Step(ASIDE, ECHO, {"text": "wait"})
CONFIG = "gateway:\n  http_port: {}\n"
BROKEN = "gateway: [\n"


@define
class Seat:
    """A client at a machine of its own: a home with the client's file, enrolled in one mode or not at all."""

    client: str
    mode: str
    home: Home
    user: User
    flags: tuple[str, ...]  # of the server

    def prepare(self) -> None:
        """Write the client's file, and enrol one of its two servers."""
        known = CLIENTS[self.client]
        at = self.home.directory
        programs = [Program(each, at / f"starts-of-{each}", self.flags) for each in (IT, ASIDE)]
        text = known.text(programs)
        # Codex ends where a required server is not there, which nobody asks for without saying so.
        self.home.write(known.file, text.replace("required = true", "required = false", 1))
        self.home.write(".claude/settings.json", json.dumps({"permissions": {"allow": [f"mcp__{ASIDE}"]}}))
        self.home.write(".gemini/trustedFolders.json", json.dumps({str(self.home.work): "TRUST_FOLDER"}))
        if self.mode == DIRECT:
            return
        self.user.mcpgateway("start")
        chosen = (*known.names(self.home), "--server", IT)
        self.user.mcpgateway("clients", "apply", "--yes", f"--{self.mode}", *chosen)
        held = (self.home.directory / known.file).read_text()
        assert (f"{self.user.url}/{IT}/mcp" in held) == (self.mode == URL), held

    def turn(self, decide: Decide) -> ScriptedModel:
        """Let the client take a turn with a model that goes by a script."""
        with ScriptedModel(IT, ECHO, [], decide=decide, last=(ASIDE, ECHO)) as model:
            try:
                AGENTS[self.client](self.home, model)
            except AssertionError as why:
                model.results.append(f"{self.client} ended: {str(why)[:300]}")
        return model

    @property
    def shims(self) -> list[int]:
        """The shims that the client runs."""
        return [pid for pid in self.processes if f"connect {IT}".encode() in command_line(pid)]

    @property
    def processes(self) -> set[int]:
        """The processes of the client; some of them start their servers with an environment of their own making."""
        return {pid for root in self.home.pids for pid in tree(root)}

    # What may befall the gateway

    def break_off(self) -> None:
        """Take the power from the gateway, and leave it a configuration that it cannot start with."""
        self.user.kill_all()
        self.user.write(".mcp-gateway/config.yaml", BROKEN)

    def mend(self) -> None:
        """Write the configuration again, and start the gateway."""
        self.user.write(".mcp-gateway/config.yaml", CONFIG.format(self.user.port))
        self.start()

    def start(self) -> None:
        """Start the gateway."""
        self.user.mcpgateway("start")


@contextmanager
def seated(directory: Path, client: str, mode: str, *flags: str) -> Iterator[Seat]:
    """A seat that is prepared."""
    with Home(directory) as home, User(directory) as user:
        seat = Seat(client, mode, home, user, flags)
        seat.prepare()
        yield seat
    shutil.rmtree(directory, ignore_errors=True)
