"""``config get``, ``set``, ``unset``, ``path`` and ``edit``: the gateway's own keys, from the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from mcpgateway.cli.main import run

CONFIG = "# mine\ngateway:\n  http_port: 9200  # here\nservers:\n  own: {command: run}\n"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a user with Claude Code's file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (
        "MCPGATEWAY_HOME",
        "MCPGATEWAY_CONFIG",
        "MCP_GATEWAY_CONFIG",
        "MCP_CONFIG_PATH",
        "VISUAL",
        "EDITOR",
    ):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".claude.json").write_text(json.dumps({"mcpServers": {"notes": {"command": "npx"}}}))
    path = tmp_path / ".mcp-gateway" / "config.yaml"
    path.parent.mkdir(mode=0o700)
    path.write_text(CONFIG)
    return path


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run a command; return its exit code and its outputs."""
    code = run(["config", *words])
    out = capsys.readouterr()
    return code, out.out, out.err


class KeyTests:
    def test_get(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A value is printed alone; with --json it has its place; one that nothing gives is exit code 1."""
        assert ran(capsys, "get", "gateway.http_port")[:2] == (0, "9200\n")
        assert ran(capsys, "get", "gateway.expose")[:2] == (0, "hybrid\n")
        assert ran(capsys, "get", "clients.adopt")[:2] == (0, "ask\n")
        found = json.loads(ran(capsys, "get", "gateway.http_port", "--json")[1])
        assert found == {"key": "gateway.http_port", "value": 9200, "from": f"{config}:3"}
        assert ran(capsys, "get", "servers.own.prefix")[:2] == (1, "")

    def test_set(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Values are written with their types, comments stay, and the report says when each counts."""
        code, out, _ = ran(capsys, "set", "gateway.http_port=9300", "gateway.limits.spawns=7")
        assert (code, config.read_text()) == (
            0,
            "# mine\ngateway:\n  http_port: 9300  # here\n  limits:\n    spawns: 7\nservers:\n  own: {command: run}\n",
        )
        assert "gateway.http_port is set in" in out
        assert "counts when the gateway starts again" in out
        assert ran(capsys, "set", "gateway.expose", "full")[0] == 0
        assert ran(capsys, "get", "gateway.expose")[1] == "full\n"

    def test_a_client_server(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A key of a server of a client's file is written over it."""
        assert ran(capsys, "set", "servers.notes.timeout=2m")[0] == 0
        assert ran(capsys, "get", "servers.notes.timeout")[1] == "2m\n"
        assert ran(capsys, "get", "servers.notes.command")[1] == "npx\n"

    def test_a_new_server(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Keys that define a server make it."""
        assert ran(capsys, "set", "servers.more.command=cat", "servers.more.timeout=5s")[0] == 0
        assert ran(capsys, "get", "servers.more.timeout")[1] == "5s\n"

    def test_stdin(
        self, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A secret comes from stdin, and is not shown afterwards."""
        for words in ("servers.own.env.TOKEN", "servers.own.env.TOKEN=-"):
            config.write_text(CONFIG)
            monkeypatch.setattr("sys.stdin", io.StringIO("s3cret-value\n"))
            code, out, err = ran(capsys, "set", words)
            assert code == 0
            assert "TOKEN: s3cret-value" in config.read_text().replace('"', "")
            assert "s3cret" not in out + err + ran(capsys, "get", "servers.own.env.TOKEN")[1]

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("gateway.expose=all",), "expected one of full"),
            (("gateway.expos=full",), "did you mean 'gateway.expose'?"),
            (("servers.own.prefixx=3",), "did you mean 'prefix'?"),
            (("servers.ownn.timeout=5s",), "no server is called ownn"),
            (("servers.ownn.timeout=5s",), "did you mean own"),
            (("gateway.limits.spawns=7", "gateway.http_port=x"), "http_port"),
        ],
    )
    def test_refused(
        self, config: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
    ) -> None:
        """A key that does not exist, or a value that it cannot have, changes nothing."""
        code, _, err = ran(capsys, "set", *words)
        assert code == 1
        assert says in err
        assert config.read_text() == CONFIG

    def test_unset(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A key is taken out of every file that has it; then its default counts."""
        local = config.with_name("config.local.yaml")
        local.write_text("gateway: {http_port: 9400}\n")
        assert ran(capsys, "unset", "gateway.http_port")[0] == 0
        assert ran(capsys, "get", "gateway.http_port")[1] == "9100\n"
        assert ran(capsys, "unset", "gateway.http_port")[0] == 1

    def test_outranking_file(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A key that an outranking file has is changed there, since it would not count elsewhere."""
        local = config.with_name("config.local.yaml")
        local.write_text("gateway: {http_port: 9400}\n")
        assert ran(capsys, "set", "gateway.http_port=9500")[0] == 0
        assert (config.read_text(), "9500" in local.read_text()) == (CONFIG, True)

    def test_path(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The path is that of the file that would be changed."""
        assert ran(capsys, "path")[:2] == (0, f"{config}\n")

    def test_path_and_files_that_are_not_read(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A file of the home that only looks like the configuration is named, by ``check`` and ``doctor``, too."""
        toml = config.with_suffix(".toml")
        for each in (toml, config.with_suffix(".yaml.bak"), config.with_suffix(".json")):
            each.write_text("[servers]\n")
        unread = [str(config.with_suffix(".json")), str(toml)]
        code, out, err = ran(capsys, "path")
        assert (code, out) == (0, f"{config}\n")
        assert err.splitlines() == [f"{each} is not read: the configuration is {config}" for each in unread]
        _, out, err = ran(capsys, "check")
        told = " ".join(f"{out}{err}".replace("~", str(config.parents[1])).split())
        for each in unread:
            assert f"{each}: is not read" in told
        toml.unlink()
        assert str(toml) not in ran(capsys, "path")[2]


class EditTests:
    def editor(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
        """Name an editor that runs a script of sed."""
        monkeypatch.setenv("EDITOR", f"sed -i {script}")

    def test_taken(
        self,
        config: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        """An edited file without errors is taken as it is."""
        self.editor(monkeypatch, tmp_path, "s/9200/9201/")
        code, out, _ = ran(capsys, "edit")
        assert (code, config.read_text()) == (0, CONFIG.replace("9200", "9201"))
        assert "is changed" in out
        self.editor(monkeypatch, tmp_path, "s/nothing//")
        assert "is unchanged" in ran(capsys, "edit")[1]

    @pytest.mark.parametrize(
        "script",
        [
            "s/9200/x/",
            "s/gateway:/gateway/",
            "s/run/3/",
            "s/http_port/http_prt/",
            r"s/command/shaer:\ 1,\ command/",
        ],
    )
    def test_refused(
        self,
        config: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        script: str,
    ) -> None:
        """An edited file with an error is not taken, and the error has its line."""
        self.editor(monkeypatch, tmp_path, script)
        code, _, err = ran(capsys, "edit")
        assert (code, config.read_text()) == (1, CONFIG)
        assert "line " in err

    def test_mistyped_key(
        self,
        config: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        """A mistyped key is refused with the key that is meant, unless the file had it before."""
        self.editor(monkeypatch, tmp_path, "s/{command/{shaer:\\ session,\\ command/")
        code, _, err = ran(capsys, "edit")
        assert (code, config.read_text()) == (1, CONFIG)
        assert "line 5: servers.own.shaer: is not a known key; did you mean 'share'?" in err
        config.write_text(CONFIG.replace("{command", "{shaer: session, command"))
        self.editor(monkeypatch, tmp_path, "s/9200/9201/")
        assert ran(capsys, "edit")[0] == 0
        assert "9201" in config.read_text()

    def test_no_editor(
        self, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without an editor, or with one that fails, nothing is changed."""
        assert "EDITOR names no editor" in ran(capsys, "edit")[2]
        monkeypatch.setenv("EDITOR", "/no/such/editor")
        assert "cannot be started" in ran(capsys, "edit")[2]
        monkeypatch.setenv("EDITOR", "false")
        assert "exit code 1" in ran(capsys, "edit")[2]
        assert config.read_text() == CONFIG
