"""``mcpgateway servers test``: servers good and bad, of both eras, named in every way."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor

from mcpgateway.backends.factory import Backends
from mcpgateway.backends.spawn import Launcher
from mcpgateway.backends.validation import validate as validate_server
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Remote, Transport
from mcpgateway.interfaces import GatewayRun
from mcpgateway.system.daemon_locks import DaemonLocks
from mcpgateway.system.oauth_tokens import OAuthTokenFiles
from mcpgateway.system.process.children import ChildGuard
from mcpgateway.system.process.guardian import Guardian
from mcpgateway.system.process.orphans import ChildRegistry
from mcpgateway.system.process.socket_owners import SocketSearch
from tests.support import forkserver, real_servers
from tests.support.gateway import BIN, LIMIT_S, eventually
from tests.support.processes import bearing

pytestmark = pytest.mark.functional

Validate = Callable[..., subprocess.CompletedProcess[str]]
STEPS = ["connect", "list_tools", "ping", "close"]


@pytest.fixture
def validate(tmp_path: Path) -> Validate:
    """Run the command; all that it started ends with it."""
    mark = f"MCPGATEWAY_TEST_RUN={secrets.token_hex(8)}"
    name, _, value = mark.partition("=")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), name: value}
        argv = [str(BIN / "mcpgateway"), "--home", str(tmp_path / "home"), "validate", *words]
        ran = forkserver.ran(argv, env=environ, cwd=tmp_path, has_ended=False)
        eventually(lambda: bearing(mark) == [], "the guardian, which is the last, has ended too")
        assert not list((tmp_path / "home").glob("children/*"))
        return ran

    return run


def verdicts(output: str) -> list[str]:
    """The steps that a report has lines for, with their verdicts."""
    return [" ".join(line.split()[:2]) for line in output.splitlines() if line.startswith("[")]


class GoodTests:
    """Servers that work."""

    @pytest.mark.parametrize(
        ("flags", "revision", "ping"),
        [
            ((), "2025-11-25", "ping"),
            (("--era=modern",), "2026-07-28", "server/discover"),
            (("--era=dual",), "2025-11-25", "ping"),
            (("--old-version=2024-11-05",), "2024-11-05", "ping"),
        ],
    )
    def test_both_eras(self, validate: Validate, flags: tuple[str, ...], revision: str, ping: str) -> None:
        """A server of either era passes all steps, and is shown for what it is."""
        ran = validate("--", *real_servers.fixture(*flags))
        assert verdicts(ran.stdout) == [f"[PASS] {step}" for step in STEPS], ran.stdout
        assert f"fixture 1, protocol {revision}" in ran.stdout
        assert ran.stdout.endswith("All checks passed.\n")
        assert ran.returncode == 0
        if ping != "ping":
            assert ping in ran.stdout

    def test_many_tools(self, validate: Validate) -> None:
        """The tools of all pages are counted."""
        ran = validate("--json", "--", *real_servers.fixture("--filler-tools=300"))
        report = json.loads(ran.stdout)
        assert int(report["steps"][1]["detail"].split()[0]) > 300

    @pytest.mark.parametrize("argv", [real_servers.everything, real_servers.time])
    def test_real_servers(self, validate: Validate, argv: Callable[[], list[str]]) -> None:
        """A server that people run passes, too."""
        ran = validate("--", *argv())
        assert ran.returncode == 0, ran.stdout

    def test_a_dirty_stdout(self, validate: Validate) -> None:
        """A server that prints other things on its stdout, but answers, passes with a remark."""
        ran = validate("--", *real_servers.fixture("--garbage-first"))
        assert ran.returncode == 0
        assert "lines on stdout that are not JSON-RPC" in ran.stdout

    def test_its_circumstances(self, validate: Validate, tmp_path: Path) -> None:
        """The server runs in the directory, and with the variables, that the command line names."""
        (tmp_path / "there").mkdir()
        script = f"test $KEY = a=b && test $PWD = {tmp_path}/there && exec {' '.join(real_servers.fixture())}"
        ran = validate("--command", "sh -c", f"--args={script}", "--env", "KEY=a=b", "--cwd", "there")
        assert ran.returncode == 0, ran.stdout + ran.stderr

    def test_of_a_configuration(self, validate: Validate, tmp_path: Path) -> None:
        """A configured server is named, or is the first."""
        argv = real_servers.fixture()
        servers = {
            "remote": {"url": "http://127.0.0.1:9/mcp"},
            "good": {"command": argv[0], "args": argv[1:]},
            "broken": {"command": "false"},
        }
        path = tmp_path / "c.json"
        path.write_text(json.dumps({"servers": servers}))
        ran = validate("--config", str(path), "--server", "good", "--json")
        assert json.loads(ran.stdout)["passed"] is True
        assert ran.returncode == 0
        ran = validate("--config", str(path), "--server", "missing")
        assert "Unknown server: missing" in ran.stderr

    def test_the_first_by_name(self, validate: Validate, tmp_path: Path) -> None:
        """Where none is named, it is the first program by name, however the file has them."""
        argv = real_servers.fixture()
        good = {"command": argv[0], "args": argv[1:]}
        path = tmp_path / "c.json"
        path.write_text(
            json.dumps({"servers": {"b": {"command": "false"}, "a0": {"url": "http://x/"}, "a1": good}})
        )
        assert json.loads(validate("--config", str(path), "--json").stdout)["server"] == "a1"

    def test_values_of_a_file(self, validate: Validate, tmp_path: Path) -> None:
        """Values need not stand in the command line: neither a command's, nor those of a configuration."""
        (tmp_path / "values").write_text("KEY='a b'\n")
        script = f"test \"$KEY\" = 'a b' && exec {' '.join(real_servers.fixture())}"
        ran = validate("--env-file", "values", "--", "sh", "-c", script)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        path = tmp_path / "c.json"
        entry = {"command": "sh", "args": ["-c", script], "env": {"KEY": "${KEY}"}}
        path.write_text(json.dumps({"servers": {"s": entry}}))
        ran = validate("--config", str(path), "--env-file", "values")
        assert ran.returncode == 0, ran.stdout + ran.stderr


class BadTests:
    """Servers that do not."""

    @pytest.mark.parametrize(
        ("argv", "expected"),
        [
            (["no-such-program"], "process error"),
            (["false"], "exited unexpectedly"),
            (["sleep", "600"], "timeout"),
            (
                ["sh", "-c", "echo hello; sleep 600"],
                "possible stdout pollution (non-JSON-RPC output detected)",
            ),
            (real_servers.fixture("--refuse-handshake"), "protocol error"),
        ],
    )
    def test_classes(self, validate: Validate, argv: list[str], expected: str) -> None:
        """Programs are told what kind of thing went wrong."""
        (step,) = json.loads(validate("--timeout", "2s", "--json", "--", *argv).stdout)["steps"]
        assert (step["step"], step["passed"], step["class"]) == ("connect", False, expected)

    def test_no_secret_is_shown(self, validate: Validate) -> None:
        """A secret that the server was given does not stand in the report, even where the server repeats it."""
        script = "echo my key is $API_KEY >&2; exit 1"
        ran = validate("--env", "API_KEY=hush-hush", "--", "sh", "-c", script)
        assert "my key is" in ran.stdout
        assert "hush-hush" not in ran.stdout + ran.stderr

    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            (
                ["no-such-program"],
                "process error: no-such-program: the program 'no-such-program' was not found",
            ),
            (["sh", "-c", "echo oops >&2; exit 3"], "exited unexpectedly (exit code 3)\n    oops"),
            (["sleep", "600"], "timeout: no answer within"),
            (
                ["sh", "-c", "echo hello; sleep 600"],
                "possible stdout pollution (non-JSON-RPC output detected)",
            ),
            (real_servers.fixture("--refuse-handshake"), "refused"),
        ],
    )
    def test_connect(self, validate: Validate, argv: list[str], words: str) -> None:
        """The reason why a server cannot be connected to is told in words, and no further step is tried."""
        ran = validate("--timeout", "2s", "--", *argv)
        assert verdicts(ran.stdout) == ["[FAIL] connect"], ran.stdout
        assert words in ran.stdout
        assert "All checks passed" not in ran.stdout
        assert ran.returncode == 1

    @pytest.mark.parametrize(
        ("argv", "happened", "advice"),
        [
            (
                ["/bin/cat"],
                "it sends back what it is sent, so it is no MCP server",
                "name the program of an MCP",
            ),
            (["/bin/true"], "exited unexpectedly (exit code 0)", "is it an MCP server, and on stdio?"),
            (["/no/such"], "the program /no/such does not exist", "name it by its path"),
            (["no-such"], "the program 'no-such' was not found", "install it, or name it by its path"),
            (["pyhton3"], "the program 'pyhton3' was not found", "-> did you mean python3?"),
            (["/etc/passwd"], "the program /etc/passwd is not executable", "a script needs chmod +x"),
            (["--cwd", "/no/such", "--", "cat"], "the working directory /no/such", "make that directory"),
            (
                ["sh", "-c", "echo Hello; echo"],
                "exited unexpectedly",
                "it printed: Hello; is it an MCP server",
            ),
            (["yes"], "10000 lines in a row that are not JSON-RPC", "it printed: y; on stdout an MCP server"),
            (["sleep", "600"], "timeout: no answer within", "is it an MCP server, and on stdio?"),
            (
                ["sh", "-c", "echo oops >&2; exit 1"],
                "(exit code 1)\n    oops",
                "its output above may say why",
            ),
            (["sh", "-c", "exit 1"], "exited unexpectedly (exit code 1)", "it printed nothing on stderr"),
            (["sh", "-c", "kill -9 $$"], "killed by signal 9", "it was killed (SIGKILL)"),
            (
                ["sh", "-c", "echo ModuleNotFoundError: No module named \\'mcp\\' >&2; exit 1"],
                "exited unexpectedly (exit code 1)\n    ModuleNotFoundError",
                "its Python has no module mcp",
            ),
        ],
    )
    def test_no_server(self, validate: Validate, argv: list[str], happened: str, advice: str) -> None:
        """The end of a program that is no MCP server is told, and advice is given."""
        words = argv if argv[0] == "--cwd" else ["--", *argv]
        ran = validate("--timeout", "2s" if argv[0] == "sleep" else "20s", *words)
        assert happened in ran.stdout, ran.stdout
        *_, last = ran.stdout.splitlines()
        assert last.startswith("    -> "), ran.stdout
        assert advice in last

    def test_it_does_not_end(self, validate: Validate) -> None:
        """A server that has to be killed in the end fails its last step."""
        ran = validate("--", *real_servers.fixture("--stubborn"))
        assert verdicts(ran.stdout)[-1] == "[FAIL] close"
        assert ran.returncode == 1

    def test_it_ends_too_soon(self, validate: Validate) -> None:
        """A server that ends after the handshake fails the next steps."""
        hello = '{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"x","version":"1"}}'
        script = f"""read line; echo '{{"jsonrpc":"2.0","id":1,"result":{hello}}}'; read line; exit 4"""
        ran = validate("--json", "--", "sh", "-c", script)
        steps = json.loads(ran.stdout)["steps"]
        assert [step["passed"] for step in steps] == [True, False, False, True]
        assert "exited unexpectedly (exit code 4)" in steps[1]["detail"]


class ElsewhereTests:
    """Servers that are no programs of ours."""

    def test_nobody_is_there(self, tmp_path: Path, validate: Validate) -> None:
        """A server at whose address nothing answers is no program that has ended."""
        config = tmp_path / "far.json"
        config.write_text(json.dumps({"servers": {"far": {"url": "http://127.0.0.1:9/mcp"}}}))
        ran = validate("--json", "--config", str(config))
        (step,) = json.loads(ran.stdout)["steps"]
        assert step["detail"].startswith("unreachable (no connection to 127.0.0.1:9")

    def test_authorities_that_are_not_there(self, tmp_path: Path, validate: Validate) -> None:
        """Nor is one whose certificate cannot be looked at; what helps is said."""
        config = tmp_path / "far.json"
        far = {"url": "https://127.0.0.1:9/mcp", "ca_file": str(tmp_path / "none.pem")}
        config.write_text(json.dumps({"servers": {"far": far}}))
        ran = validate("--json", "--config", str(config))
        (step,) = json.loads(ran.stdout)["steps"]
        assert step["detail"].startswith("unreachable (ca_file: ")
        assert "put ca_file right in its entry" in step["detail"]

    @pytest.mark.parametrize(("path", "passes"), [("/", True), ("/slam", False)])
    @pytest_twisted.ensureDeferred
    async def test_at_a_url(self, tmp_path: Path, path: str, passes: bool) -> None:  # noqa: FBT001
        """Servers at a URL are tried in the same steps."""
        port = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
            [sys.executable, str(real_servers.ROOT / "tests" / "servers" / "websocket.py")],
            stdout=subprocess.PIPE,
        )
        try:
            assert port.stdout is not None
            url = f"ws://127.0.0.1:{int(port.stdout.readline())}{path}"
            server = ServerSpec("s", (), {}, "/", reach=Remote(url, Transport.WEBSOCKET))
            ward = ChildGuard(ChildRegistry(str(tmp_path), "i"), Guardian(reactor, "i"))
            home = str(tmp_path)
            locks = DaemonLocks(home, f"{home}/others", SocketSearch(reactor))
            backends = Backends(
                reactor,
                Launcher(reactor, ward),
                OAuthTokenFiles(home),
                lambda: "",
                GatewayRun(home, "i"),
                lambda: locks,
            )
            report = await validate_server(server, backends, reactor)
            assert report.passed is passes
            assert len(report.steps) == (4 if passes else 1)
        finally:
            port.kill()
            port.communicate()


class MistakeTests:
    """Command lines that make no sense."""

    @pytest.mark.parametrize(
        "words",
        [
            ["--bogus"],
            ["--timeout", "soon", "--", "x"],
            ["--command", "x", "--", "y"],
            ["--server", "x", "--", "y"],
            ["--args", "x"],
            ["--env", "x", "--", "y"],
            ["--config", "/no/such/file"],
            ["--url", "http://x", "--", "y"],
        ],
    )
    def test_refused(self, validate: Validate, words: list[str]) -> None:
        """A mistake is told on stderr, and ends with 64, or with 1 where the words make sense."""
        ran = validate(*words)
        code = 1 if words[0] in ("--env", "--config") else 64
        assert (ran.returncode, ran.stdout) == (code, "")
        assert ran.stderr.startswith(("mcpgateway: ", "usage: "))

    def test_unknown(self) -> None:
        """The commands that work locally are looked up by their first word."""
        ran = subprocess.run(
            [sys.executable, "-m", "mcpgateway.cli.local", "bogus"],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert (ran.returncode, "bogus" in ran.stderr) == (1, True)
