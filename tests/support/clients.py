"""A user's home with files of clients in it, for tests of enrolment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.formats.locations import user_files
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.system.service_files import service_file
from tests.support import forkserver

BIN = Path(sys.executable).parent

PROGRAM = {"command": "/bin/echo", "args": ["one"], "env": {"TOKEN": "a-secret-value"}}
# Written as a user writes them, with other content that each format allows beside the servers.
JSON = (
    '{{\n\t"note": "ü",  "n": 1.50,\n\t"{key}": {{\n\t\t"one": {one},\n\t\t"two": {two}\n\t}},\n'
    '\t"last": [1,2 , 3]\n}}\n'
)
JSONC = '// mine\n{{ "{key}": {{\n    "one": {one}, // the first\n    "two": {two},\n  }},\n  "theme": "dark",\n}}\n'
TOML = (
    'model = "m" # note\r\n\r\n[mcp_servers.one]\r\ncommand = "/bin/echo"\r\nargs = [ "one" ]\r\n\r\n'
    "[mcp_servers.one.env]\r\nTOKEN = \"a-secret-value\"\r\n\r\n[mcp_servers.two]\r\ncommand = '/bin/cat'\r\n"
    "startup_timeout_sec = 20\r\n\r\n[tui]\r\nx = 1\r\n"
)
CONTINUE = (
    "name: mine   # note\nversion: 1.0.0\nmcpServers:\n  - name: one\n    command: /bin/echo\n    args:\n      - one\n"
    "    env: {TOKEN: a-secret-value}\n  - name: two\n    command: /bin/cat # plain\nmodels: []\n"
)
GOOSE = (
    "GOOSE_MODEL: m\nextensions:\n  one:\n    type: stdio\n    cmd: /bin/echo\n    args: [one]\n    enabled: true\n"
    "    envs:\n      TOKEN: a-secret-value\n  two:\n    type: stdio\n    name: two\n    cmd: /bin/cat\n    args: []\n"
)


class House:
    """A user's home.

    :ivar root: the user's home directory.
    :ivar home: the gateway's own directory.
    :ivar service: the file of the gateway's service, which is there unless a test removes it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / ".mcp-gateway"
        self.environ = {"HOME": str(root), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        self.service = Path(service_file(self.environ))
        self.service.parent.mkdir(parents=True, exist_ok=True)
        self.service.touch()

    @property
    def machine(self) -> Machine:
        """The machine, as it is now."""
        return Machine(str(self.home), self.environ)

    @property
    def claude(self) -> Path:
        """Claude Code's file."""
        return self.root / ".claude.json"

    @property
    def cursor(self) -> Path:
        """Cursor's file."""
        return self.root / ".cursor" / "mcp.json"

    def place(self, client: str) -> Path:
        """Return the path of a client's file."""
        return Path(user_files(DIALECTS[client], sys.platform, self.environ, str(self.root))[0])

    def write(self, path: Path, servers: Mapping[str, Any], **more: Any) -> Path:
        """Write a file in the format of most clients."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**more, "mcpServers": servers}, indent=2))
        return path

    def write_sample(self, client: str) -> Path:
        """Write a file of a client with the servers one and two, as a user would."""
        path = self.place(client)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sample(client, path).encode())
        return path

    def configure(self, text: str) -> None:
        """Write the gateway's own configuration."""
        self.home.mkdir(mode=0o700, exist_ok=True)
        (self.home / "config.yaml").write_text(text)

    def servers(self, path: Path) -> dict[str, Any]:
        """Return the entries of a file."""
        found: dict[str, Any] = json.loads(path.read_text())["mcpServers"]
        return found

    def started(self, *words: str, **more: Any) -> subprocess.Popen[str]:
        """Start a command."""
        argv = [sys.executable, "-c", "import sys; from mcpgateway.cli.entry import main; sys.exit(main())"]
        return subprocess.Popen(
            [*argv, *words], env={**self.environ, **_here()}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,
        )  # fmt: skip

    def ran(self, *words: str) -> tuple[int, str, str]:
        """Run a command; return its exit code and its output."""
        done = forkserver.ran([BIN / "mcpgateway", *words], env=self.environ, has_ended=False)
        return done.returncode, done.stdout, done.stderr


def sample(client: str, path: Path) -> str:
    """Return the text that a user has written into a client's file."""
    if path.suffix == ".toml":
        return TOML
    if client == "continue":
        return CONTINUE
    if client == "goose":
        return GOOSE
    key = next(iter(DIALECTS[client].tables))[0]
    one, two = json.dumps(PROGRAM), '{"command": "/bin/cat","args":[ ]}'
    if key == "mcp":
        one = '{"type": "local", "command": ["/bin/echo", "one"], "environment": {"TOKEN": "a-secret-value"}}'
        two = '{"type":"local","command":["/bin/cat"],"enabled":true}'
    # The files of clients that accept comments have some.
    form = JSONC if client in {"vscode", "zed", "gemini", "opencode"} else JSON
    return form.format(key=key, one=one, two=two)


def _here() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).parents[2])}
