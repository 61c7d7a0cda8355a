"""The preparations of the commands that start and end the gateway."""

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.cli.commands.program.completion import NAMES, SHELLS, script
from mcpgateway.cli.commands.running.gateway import options_of
from mcpgateway.cli.commands.running.status import remarks
from mcpgateway.cli.commands.running.status_clients import clients, told_apart
from mcpgateway.cli.gateway_process import gateway_pid
from mcpgateway.cli.lazy import LazyGroup
from mcpgateway.cli.main import program, run
from mcpgateway.cli.start import StartLog, described
from mcpgateway.shim.locations import socket_path
from mcpgateway.system.process.procfs import start_time
from mcpgateway.system.state import is_gateway, read_state
from tests.cli.test_main import HEAVY
from tests.support.commands import commands
from tests.support.gateway import eventually
from tests.support.terminal import on_a_terminal


class StateTests:
    """The state that a gateway has left in its home."""

    def test_none(self, tmp_path):
        """A home without a state, and no home at all, have no gateway."""
        assert not read_state(str(tmp_path)).exists
        assert not read_state(str(tmp_path / "state.json" / "x")).exists

    @given(
        st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)
    )
    def test_anything(self, content):
        """A state file with any text can be read, and names no process as the gateway."""
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as home:
            data = content if isinstance(content, bytes) else content.encode()
            with open(f"{home}/state.json", "wb") as file:
                file.write(data)
            assert read_state(home).trouble
            assert gateway_pid(home) == 0

    def test_what_the_gateway_writes(self, tmp_path):
        """The state holds the gateway's process, its port, its age and its release."""
        state = {"format": 1, "pid": 7, "start_time": 9, "port": 9100, "version": "1", "started_at": 5.5}
        (tmp_path / "state.json").write_text(json.dumps(state))
        found = read_state(str(tmp_path))
        assert (found.pid, found.start_time, found.port, found.version, found.started_at) == (
            7,
            9,
            9100,
            "1",
            5.5,
        )

    def test_a_number_that_is_a_strangers(self, tmp_path):
        """A process is the gateway only when it is as old as the gateway was."""
        with subprocess.Popen(["sleep", "60"]) as stranger:
            for age in (start_time(stranger.pid), 1):
                state = {"pid": stranger.pid, "start_time": age}
                (tmp_path / "state.json").write_text(json.dumps(state))
                assert is_gateway(read_state(str(tmp_path)), str(tmp_path)) is (age != 1)
            (tmp_path / "state.json").write_text(json.dumps({"pid": stranger.pid}))
            assert gateway_pid(str(tmp_path)) == 0
            stranger.kill()


class ColourTests:
    """The colours of the output."""

    @pytest.mark.parametrize(
        ("more", "is_coloured"),
        [
            ({}, True),
            ({"NO_COLOR": "1"}, False),
            ({"NO_COLOR": ""}, True),
            ({"TERM": "dumb"}, False),
            ({"MCPGATEWAY_PLAIN": "1"}, False),
        ],
    )
    @pytest.mark.parametrize("words", [("status",), ("konnect",), ("--url", "http://127.0.0.1:1", "health")])
    def test_colours(self, tmp_path, more, is_coloured, words):
        """A terminal gets colours, unless its user wants none or it has none."""
        (tmp_path / "state.json").write_text("{}")
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "xterm", **more}
        code = "import sys; from mcpgateway.cli.entry import main; sys.exit(main())"
        _, said = on_a_terminal([sys.executable, "-c", code, "--home", str(tmp_path), *words], environ)
        assert said
        assert ("\x1b[" in said) is is_coloured


class OptionTests:
    """The options that a gateway was started with."""

    @pytest.mark.parametrize(
        ("words", "options"),
        [
            ("python twistd -n --pidfile= mcpgateway", []),
            ("python twistd mcpgateway --home /h --port 1", ["--port", "1"]),
            ("twistd mcpgateway --port 1 --home=/h --demo", ["--port", "1", "--demo"]),
            ("sleep 1", []),
            ("", []),
        ],
    )
    def test_from_its_command(self, words, options):
        """The options are the words after the program's name, except for its home."""
        assert options_of(words.split()) == options


class LogTests:
    """The log of a start that failed."""

    def test_what_is_new(self, tmp_path):
        """Earlier lines of the log are not shown."""
        (tmp_path / "logs").mkdir()
        path = tmp_path / "logs" / "gateway.log"
        path.write_text("old\n")
        log = StartLog(str(tmp_path))
        with path.open("a") as file:
            file.write("".join(f"{n}\n\n" for n in range(30)))
        assert log.lines() == [str(n) for n in range(20, 30)]

    def test_rotated(self, tmp_path):
        """A log that has begun anew is told whole; one that is not there says nothing."""
        (tmp_path / "logs").mkdir()
        path = tmp_path / "logs" / "gateway.log"
        assert StartLog(str(tmp_path)).lines() == []
        path.write_text("a long line that was there before\n")
        log = StartLog(str(tmp_path))
        path.write_text("new\n")
        assert log.lines() == ["new"]


class ClientTests:
    """The clients of the gateway, in every form of its answer."""

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ([{"name": "codex", "servers": ["a", "b"]}], [{"name": "codex", "servers": 2}]),
            ([{"tool": "cursor", "servers": 3}], [{"name": "cursor", "servers": 3}]),
            (
                [{"name": "zed", "servers": ["a"], "suspended": "disabled"}],
                [{"name": "zed", "servers": 1, "restored": "disabled"}],
            ),
            ([{}, 7], [{"name": "?", "servers": 0}]),
            ("x", []),
        ],
    )
    def test_told(self, said, told):
        """A name and a number."""
        assert clients({"clients": said}) == told

    def test_told_apart(self):
        """A client with several files is named with each of them, and one with a single file without it."""
        found = [{"name": "cursor", "servers": 1}, {"name": "claude-code", "servers": 2}] * 2
        named = told_apart(found[:3], ["/a", "/b", "/c"])
        assert [each["name"] for each in named] == ["cursor /a", "claude-code", "cursor /c"]
        assert [each["name"] for each in told_apart(found[:1] * 2, ["", ""])] == ["cursor", "cursor"]


class RemarkTests:
    """The remarks of ``status`` on running servers."""

    def test_told(self):
        """A server that is stuck is named with what helps, and so are processes that hang and calls that take long."""
        found = {
            "backends": [
                {"name": "one", "stuck": "it is stopped", "retired": [], "long_calls": []},
                {"name": "two", "retired": [{"pid": 7, "calls": 2, "why": "x", "seconds": 3}]},
                {"name": "three", "long_calls": [{"what": "dig", "seconds": 360, "session": "s"}]},
                {"name": "four"},
            ],
            "search": {"state": "failed", "reason": "its program has ended"},
            "budgets": [
                {"profile": "docs", "budget": 2000, "clients": 3, "most": 1900, "warned": 2, "cut": 1},
                {"profile": "quiet", "budget": 2000, "clients": 3, "most": 9, "warned": 0, "cut": 0},
            ],
        }
        assert remarks(found) == [
            "one is stuck: it is stopped; mcpgateway servers restart one",
            "two: process 7 is stuck with 2 calls, and another takes the new ones",
            "three: a call of dig has been under way for 6 min",
            "gateway_search ranks by words alone for now: its program has ended",
            "profile docs: 2 of 3 clients have used most of their 2,000 tokens, and 1 get cut results",
        ]


class PortTests:
    """The process that has a port."""

    def test_no_secrets(self):
        """A program is named, and not what it was started with."""
        with subprocess.Popen(["sleep", "60.5"]) as process:
            eventually(lambda: described(process.pid) == f"pid {process.pid} (sleep)", "it has begun")
            process.kill()


@contextmanager
def gateway_of(home, body):
    """Something listens at the socket of a home, and gives everybody the same answer."""
    text = json.dumps(body).encode()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(socket_path(dict(os.environ), home))
        listener.listen()

        def answer():
            with suppress(OSError):
                while True:
                    caller, _ = listener.accept()
                    with caller:
                        caller.recv(65536)
                        caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(60)


class CompletionTests:
    """``mcpgateway completion``."""

    @pytest.mark.parametrize("shell", SHELLS)
    def test_every_name(self, shell, capsys):
        """The program is completed under each of its names."""
        assert run(["completion", shell]) == 0
        out = capsys.readouterr().out
        assert out == script(shell)
        assert all(name in out for name in NAMES)

    def test_bash_can_read_it(self):
        """The completion for bash is a valid script."""
        subprocess.run(["bash", "-n"], input=script("bash").encode(), check=True, timeout=60)

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            ("mcpgateway sta", {"start", "status"}),
            ("mcpgateway --home /h config s", {"show", "schema", "set"}),
            ("mcpgateway start --adopt a", {"ask", "always"}),
            ("mcpgateway config import --d", {"--dry-run"}),
            ("mcpgateway doctor --client cur", {"cursor"}),
            ("mcpgateway clients apply --print claude-c", {"claude-code"}),
            ("mcpgateway start --config x", {"x"}),
            ("mcpgateway connect s", {"shared"}),
            ("mcpgateway stdio --server s", {"shared"}),
            ("mcpgateway clients apply --print --form shim --server s", {"shared"}),
            ("mcpgateway connect shared s", set()),
        ],
    )
    def test_words(self, tmp_path, words, told):
        """Commands, verbs, options and their values, files, clients, and servers of the gateway that runs."""
        with gateway_of(str(tmp_path), {"backends": [{"name": "shared"}, {"name": "other"}]}):
            done = self.completed(words, tmp_path)
        assert {line.partition(",")[2] for line in done.stdout.split()} == told
        assert done.stderr == ""

    @pytest.mark.parametrize("words", ["mcpgateway konnect x", "mcpgateway clients nothing x"])
    def test_a_mistake(self, tmp_path, words):
        """A completion prints no error while its user types."""
        assert self.completed(words, tmp_path).stderr == ""

    def completed(self, words, home):
        """The completions for a shell."""
        environ = {
            **os.environ,
            "MCPGATEWAY_HOME": str(home),
            "_MCPGATEWAY_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        code = "import sys; from mcpgateway.cli.entry import main; sys.exit(main())"
        return subprocess.run(
            [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=False
        )


class LightTests:
    """Commands that programs run often."""

    @pytest.mark.parametrize(
        "words", ["version", "status", "health", "completion zsh", "stop", "start --help", "config --help"]
    )
    def test_loads_little(self, tmp_path, words):
        """A light command loads neither the gateway's code nor the modules of other commands."""
        code = (
            f"import sys; from mcpgateway.cli.main import run; run(['--home', {str(tmp_path)!r}, *{words.split()!r}]);"
            f" print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stderr.splitlines()[-1] == "[]"

    @pytest.mark.parametrize("words", ["version", "status", "stop", "start --help"])
    def test_loads_no_http(self, tmp_path, words):
        """Where no gateway runs, nothing is loaded that could speak to one."""
        code = (
            f"import sys; from mcpgateway.cli.main import run; run(['--home', {str(tmp_path)!r}, *{words.split()!r}]);"
            " print(sorted({'http.client', 'ssl', 'email'} & set(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stderr.splitlines()[-1] == "[]"


class JsonTests:
    """Results for programs."""

    @pytest.mark.parametrize(
        "words", ["version", "status", "stop", "completion fish", "health", "config explain share"]
    )
    def test_it_is_json(self, tmp_path, capsys, words):
        """The output is one JSON document, whatever the outcome is."""
        run(["--json", "--home", str(tmp_path), *words.split()])
        json.loads(capsys.readouterr().out)

    @pytest.mark.parametrize(
        "words", ["start --nonsense", "nonsense", "validate --args x", "health --url ftp://x"]
    )
    def test_mistakes(self, capsys, words):
        """A mistake is one, too."""
        assert run(["--json", *words.split()]) == (1 if "ftp" in words else 64)
        assert json.loads(capsys.readouterr().out)["error"]


class HelpTests:
    """The help of each command."""

    @pytest.mark.parametrize(
        ("key_path", "command"),
        list(commands()),
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_every_option_says_what_it_is_for(self, key_path, command):
        """Each command and each of its options has a sentence."""
        assert command.get_short_help_str()
        for each in command.params:
            if each.param_type_name == "option":
                assert each.help, (key_path, each.name)

    def test_the_table_says_what_the_commands_say(self):
        """The group of all commands is one that loads a command when it is named."""
        assert isinstance(program, LazyGroup)
