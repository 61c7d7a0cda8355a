"""Clients' files are led here and given back: what becomes of each, and what is said about it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mcpgateway.clientfiles import enrolment
from mcpgateway.clientfiles.enrolment import adoptable, apply, resume, suspend, undo
from mcpgateway.clientfiles.files import FileChoice, FileLocation, see
from mcpgateway.clientfiles.formats.clients import DIALECTS
from mcpgateway.clientfiles.formats.loopback import LocalGateway
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.plan import EnrolRequest, plan
from mcpgateway.config.reach_settings import Remote
from mcpgateway.errors import ConfigError
from mcpgateway.system import approvals, state
from mcpgateway.system.gateway_health import GatewayHealth
from mcpgateway.system.service_files import sealed
from tests.support.clients import PROGRAM, House
from tests.support.gateway import IS_SOAK

LARGE_KB = 50_000 if IS_SOAK else 8_000
OTHER = {"command": "/bin/cat"}
EVERY_WAY = ("http", "fail-open", "single", "http", "single", "fail-open", "http")
CLIENTS = [each for each in DIALECTS if each != "custom"]


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A user's home with nothing in it."""
    return House(tmp_path)


def url(name: str) -> str:
    """Where a server is reached."""
    return f"http://localhost:9100/{name}/mcp"


def of(path: Path, *servers: str, mode: str = "") -> EnrolRequest:
    """Choose one file, and perhaps some of its servers."""
    return EnrolRequest(FileChoice(file=str(path)), servers, mode)


def texts_of(path: Path, client: str) -> list[str]:
    """The addresses and commands of the entries of a file that use the gateway."""
    seen = see(FileLocation(DIALECTS[client], str(path)), LocalGateway(9100))
    return [f"{each.title} {each.served} {each.value}" for each in seen.listed if each.kind.value == "ours"]


class EveryClientTests:
    """Every client whose form is known."""

    @pytest.mark.parametrize("mode", ["http", "fail-open"])
    @pytest.mark.parametrize("client", CLIENTS)
    def test_there_and_back(self, house: House, client: str, mode: str) -> None:
        """A client's file is enrolled, is unchanged by a second time, and is restored to the byte."""
        path = house.write_sample(client)
        before, status = path.read_bytes(), path.stat()
        report = apply(house.machine, EnrolRequest(mode=mode))
        assert not report.errors
        assert {name for each in report.files for name in each.adopted.values()} == {"one", "two"}
        led = path.read_bytes()
        assert led != before
        assert not apply(house.machine, EnrolRequest(mode=mode)).is_changed
        assert path.read_bytes() == led
        report = undo(house.machine, EnrolRequest())
        assert report.files[0].exact
        assert path.read_bytes() == before
        assert path.stat().st_mode == status.st_mode
        assert house.machine.records.files == {}

    @pytest.mark.parametrize("client", CLIENTS)
    def test_edits_survive(self, house: House, client: str) -> None:
        """Later edits of the user stay, and the servers are as they were before."""
        path = house.write_sample(client)
        text = path.read_bytes().decode()
        apply(house.machine, EnrolRequest())
        begins, comment = ("# mine\n", True) if path.suffix in {".toml", ".yaml"} else ("\n\n", False)
        path.write_bytes(begins.encode() + path.read_bytes())
        report = undo(house.machine, EnrolRequest())
        assert set(report.files[0].restored) == {"one", "two"}
        assert path.read_bytes().decode() == begins + text
        assert comment == path.read_text().startswith("#")


class ApplyTests:
    """Leading files here."""

    def test_without_a_gateway(self, house: House) -> None:
        """Where none runs, entries lead to the port that the last one was told, else to the configuration's."""
        path = house.write(house.cursor, {"one": PROGRAM})
        house.configure("gateway:\n  http_port: 9200\n")
        for told, port in ((9333, 9333), (None, 9200)):
            state.keep_port(str(house.home), told)
            apply(house.machine, EnrolRequest())
            assert house.servers(path)["one"]["url"] == f"http://localhost:{port}/one/mcp"

    @pytest.mark.parametrize("mode", ["http", "single"])
    def test_without_a_gateway_and_a_service(self, house: House, mode: str) -> None:
        """Where neither runs nor is to run a gateway, no file gets its URL; a command that needs none is written."""
        house.service.unlink()
        path = house.write(house.cursor, {"one": PROGRAM})
        before = path.read_bytes()
        with pytest.raises(ConfigError, match="a URL that nothing answers"):
            apply(house.machine, EnrolRequest(mode=mode))
        assert (path.read_bytes(), house.machine.records.files) == (before, {})
        report = apply(house.machine, EnrolRequest(mode="fail-open"))
        assert (report.files[0].adopted, report.warnings) == ({"one": "one"}, ())
        with pytest.raises(ConfigError, match="a URL that nothing answers"):
            apply(house.machine, EnrolRequest(mode=mode))
        undo(house.machine, EnrolRequest())
        assert path.read_bytes() == before

    def test_without_a_port(self, house: House) -> None:
        """Where the last one had any port that was free, nothing is changed."""
        path = house.write(house.cursor, {"one": PROGRAM})
        house.configure("{}")
        state.keep_port(str(house.home), 0)
        before = path.read_text()
        with pytest.raises(ConfigError, match="none has a port of its own"):
            apply(house.machine, EnrolRequest())
        assert path.read_text() == before

    def test_only_programs(self, house: House) -> None:
        """Remote, disabled and odd entries stay, each with a reason."""
        servers = {
            "a": PROGRAM,
            "b": {"type": "http", "url": "https://x.example/mcp"},
            "c": {"command": "x", "disabled": True},
            "d": {"what": 1},
        }
        house.write(house.claude, servers)
        report = apply(house.machine, EnrolRequest()).files[0]
        assert report.adopted == {"a": "a"}
        assert [each.title for each in report.left] == ["b", "c", "d"]
        assert house.servers(house.claude) == {**servers, "a": {"type": "http", "url": url("a")}}

    @pytest.mark.parametrize("mode", ["http", "fail-open", "single"])
    def test_remote(self, house: House, mode: str) -> None:
        """A URL is enrolled if that is wanted, always by URL and without its headers, and stays so in every mode."""
        far = {"type": "http", "url": "https://x.example/mcp", "headers": {"X-Key": "hush"}, "timeout": 5}
        helped = {"type": "http", "url": "https://y.example/mcp", "headersHelper": "token"}
        house.write(house.claude, {"a": PROGRAM, "far": far, "helped": helped})
        before = house.claude.read_bytes()
        report = apply(house.machine, EnrolRequest(mode=mode, remote=True)).files[0]
        assert report.adopted == {"a": "a", "far": "far"}
        assert [(each.title, "by a command" in each.why) for each in report.left] == [("helped", True)]
        apply(house.machine, EnrolRequest(mode="http"))
        assert house.servers(house.claude)["far"] == {"type": "http", "url": url("far"), "timeout": 5}
        apply(house.machine, EnrolRequest(mode=mode))
        for now in (house.machine, house.machine):
            reach = now.settings.blueprints["far"].entry.reach
            assert isinstance(reach, Remote)
            assert (reach.url, reach.headers) == ("https://x.example/mcp", {"X-Key": "hush"})
            # Also where the gateway pauses and its clients reach the server themselves.
            suspend(str(house.home), house.environ, "disabled")
            assert house.claude.read_bytes() == before
        resume(str(house.home), house.environ, ("disabled",))
        assert "far" not in house.servers(house.claude) or house.servers(house.claude)["far"] != far
        house.write(house.claude, house.servers(house.claude), more=1)
        assert set(undo(house.machine, EnrolRequest()).files[0].restored) == {"a", "far"}
        assert house.servers(house.claude) == json.loads(before)["mcpServers"]

    def test_remote_with_tokens(self, house: House) -> None:
        """Where clients need a token, a URL is enrolled by a command, which reads the token that no file has."""
        house.configure("gateway: {auth_mcp_transport: bearer-required}\n")
        house.write(house.claude, {"far": {"url": "https://x.example/mcp", "headers": {"X-Key": "hush"}}})
        apply(house.machine, EnrolRequest(remote=True))
        found = house.servers(house.claude)["far"]
        assert found["args"][-3:] == ["connect", "far", "--"]
        assert "headers" not in found

    def test_names(self, house: House) -> None:
        """A definition with one title has one name in all files; another definition has another name."""
        house.write(house.claude, {"a": PROGRAM})
        house.write(house.cursor, {"a": PROGRAM})
        house.write(house.place("windsurf"), {"a": OTHER})
        files = apply(house.machine, EnrolRequest()).files
        assert [each.adopted["a"] for each in files] == ["a", "a", "a-2"]
        assert house.servers(house.place("windsurf"))["a"] == {"serverUrl": url("a-2")}

    def test_only_their_clients_know(self, house: House) -> None:
        """An entry with a variable or a directory that only its client knows stays, and it is said why."""
        servers = {"a": {"command": "x", "args": ["${cwd}"]}, "b": {"command": "x", "cwd": "w"}}
        house.write(house.cursor, servers)
        left = apply(house.machine, EnrolRequest()).files[0].left
        assert ["only its client can fill in" in left[0].why, "its cwd is relative" in left[1].why] == [
            True,
            True,
        ]
        assert house.servers(house.cursor) == servers

    def test_names_stay(self, house: House) -> None:
        """A URL never comes to mean another server because another file is led here, or given back."""
        house.write(house.cursor, {"a": PROGRAM})
        apply(house.machine, of(house.cursor))
        house.write(house.claude, {"a": OTHER})
        apply(house.machine, of(house.claude))
        assert house.servers(house.claude)["a"]["url"] == url("a-2")
        undo(house.machine, of(house.cursor))
        assert not apply(house.machine, of(house.claude)).is_changed
        settings = house.machine.settings
        assert settings.blueprints["a-2"].entry.argv == ("/bin/cat",)

    def test_the_gateway_reads_them(self, house: House) -> None:
        """An enrolled entry is served as its original."""
        house.write(house.cursor, {"a": PROGRAM})
        apply(house.machine, EnrolRequest())
        entry = house.machine.settings.blueprints["a"].entry
        assert (entry.argv, entry.env) == (("/bin/echo", "one"), PROGRAM["env"])

    def test_what_cannot_be_served(self, house: House) -> None:
        """An entry that the gateway could not run stays, and its file is not changed for it."""
        house.write(house.cursor, {"a": {"command": "x", "args": ["a\0b"]}})
        report = apply(house.machine, EnrolRequest()).files[0]
        assert (report.adopted, report.changed) == ({}, False)
        assert report.left

    def test_modes(self, house: House) -> None:
        """Another mode is applied to enrolled entries, and the original is still restored."""
        house.write(house.cursor, {"a": {**PROGRAM, "alwaysAllow": ["x"]}})
        before = house.cursor.read_bytes()
        apply(house.machine, EnrolRequest())
        report = apply(house.machine, EnrolRequest(mode="fail-open"))
        assert report.files[0].renewed == {"a": "a"}
        entry = house.servers(house.cursor)["a"]
        assert entry["args"][-4:] == ["a", "--", "/bin/echo", "one"]
        assert (entry["env"], entry["alwaysAllow"]) == (PROGRAM["env"], ["x"])
        assert not apply(house.machine, EnrolRequest()).is_changed
        undo(house.machine, EnrolRequest())
        assert house.cursor.read_bytes() == before

    def test_another_port(self, house: House) -> None:
        """When the gateway has another port, the entries are led there."""
        house.write(house.cursor, {"a": PROGRAM})
        before = house.cursor.read_bytes()
        apply(house.machine, EnrolRequest())
        house.configure("gateway: {http_port: 9200}\n")
        assert apply(house.machine, EnrolRequest()).files[0].renewed == {"a": "a"}
        assert house.servers(house.cursor)["a"] == {"url": "http://localhost:9200/a/mcp"}
        undo(house.machine, EnrolRequest())
        assert house.cursor.read_bytes() == before

    def test_no_token_in_a_file(self, house: House) -> None:
        """Where the endpoints want a token, a command leads here instead of a URL."""
        house.configure("gateway: {auth_mcp_transport: bearer-required}\n")
        house.write(house.cursor, {"a": PROGRAM})
        apply(house.machine, EnrolRequest())
        assert "connect" in house.servers(house.cursor)["a"]["args"]

    def test_a_client_without_urls(self, house: House) -> None:
        """A client that takes no URLs is led here by a command."""
        house.write(house.place("claude-desktop"), {"a": PROGRAM})
        apply(house.machine, EnrolRequest())
        assert "connect" in house.servers(house.place("claude-desktop"))["a"]["args"]

    def test_single_needs_the_endpoint(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """An entry for all servers is refused where an older gateway runs, which does not serve it."""
        monkeypatch.setattr(Machine, "answer", property(lambda _: GatewayHealth({"aggregate": False})))
        house.write(house.cursor, {"a": PROGRAM})
        with pytest.raises(ConfigError, match="--single"):
            apply(house.machine, EnrolRequest(mode="single"))

    @pytest.mark.parametrize(
        "client", ["claude-code", "cursor", "codex", "continue", "opencode", "goose", "zed"]
    )
    def test_single(self, house: House, client: str) -> None:
        """A single entry stands for all entries, which are served nevertheless, and are restored to the byte."""
        path = house.write_sample(client)
        before = path.read_bytes()
        report = apply(house.machine, EnrolRequest(mode="single"))
        assert set(report.files[0].adopted) == {"one", "two"}
        text = path.read_text()
        assert text.count("http://localhost:9100/mcp") == 1
        assert "/bin/echo" not in text
        assert not apply(house.machine, EnrolRequest()).is_changed
        assert set(house.machine.settings.blueprints) == {"one", "two"}
        undo(house.machine, EnrolRequest())
        assert path.read_bytes() == before

    def test_single_without_urls(self, house: House) -> None:
        """A client that takes no URLs starts the shim for all servers."""
        path = house.write(house.place("claude-desktop"), {"a": PROGRAM})
        before = path.read_bytes()
        apply(house.machine, EnrolRequest(mode="single"))
        ((title, entry),) = house.servers(path).items()
        assert (title, entry["args"]) == ("mcpgateway", ["stdio"])
        assert not apply(house.machine, EnrolRequest()).is_changed
        undo(house.machine, EnrolRequest())
        assert path.read_bytes() == before

    def test_single_with_a_token(self, house: House) -> None:
        """Where the endpoints want a token, the shim leads here as well, which needs none."""
        house.configure("gateway: {auth_mcp_transport: bearer-required}\n")
        house.write(house.cursor, {"a": PROGRAM})
        apply(house.machine, EnrolRequest(mode="single"))
        assert house.servers(house.cursor)["mcpgateway"]["args"] == ["stdio"]

    @pytest.mark.parametrize("taken", [{"url": "https://x.example/mcp"}, PROGRAM])
    def test_single_beside_its_name(self, house: House, taken: dict[str, object]) -> None:
        """Where the client has something of that name already, the one entry has another."""
        house.write(house.cursor, {"mcpgateway": taken, "a": PROGRAM})
        before = house.cursor.read_bytes()
        apply(house.machine, EnrolRequest(mode="single"))
        assert house.servers(house.cursor)["mcpgateway-2"] == {"url": "http://localhost:9100/mcp"}
        assert "a" not in house.servers(house.cursor)
        assert not apply(house.machine, EnrolRequest()).is_changed
        undo(house.machine, EnrolRequest())
        assert house.cursor.read_bytes() == before

    def test_single_and_more(self, house: House) -> None:
        """An entry that is added later goes behind the single entry as well, whatever its name is by now."""
        house.write(house.cursor, {"a": PROGRAM})
        apply(house.machine, EnrolRequest(mode="single"))
        house.write(house.cursor, {"all": {"url": "http://localhost:9100/mcp"}, "b": OTHER})
        assert apply(house.machine, EnrolRequest()).files[0].adopted == {"b": "b"}
        assert house.servers(house.cursor) == {"all": {"url": "http://localhost:9100/mcp"}}
        assert set(house.machine.settings.blueprints) == {"a", "b"}
        undo(house.machine, EnrolRequest())
        assert house.servers(house.cursor) == {"a": PROGRAM, "b": OTHER}

    def test_single_at_another_port(self, house: House) -> None:
        """When the gateway has another port, the one entry is led there."""
        house.write(house.cursor, {"a": PROGRAM})
        before = house.cursor.read_bytes()
        apply(house.machine, EnrolRequest(mode="single"))
        house.configure("gateway: {http_port: 9200}\n")
        assert apply(house.machine, EnrolRequest()).files[0].renewed == {"mcpgateway": "mcpgateway"}
        assert house.servers(house.cursor) == {"mcpgateway": {"url": "http://localhost:9200/mcp"}}
        undo(house.machine, EnrolRequest())
        assert house.cursor.read_bytes() == before

    def test_single_is_suspended(self, house: House) -> None:
        """A stop gives all entries back, and the next start puts the one in their place again."""
        house.write(house.cursor, {"a": PROGRAM, "b": OTHER})
        before = house.cursor.read_bytes()
        apply(house.machine, EnrolRequest(mode="single"))
        led = house.cursor.read_bytes()
        suspend(str(house.home), house.environ, enrolment.STOPPED)
        assert house.cursor.read_bytes() == before
        resume(str(house.home), house.environ)
        assert house.cursor.read_bytes() == led

    @pytest.mark.parametrize("client", CLIENTS)
    def test_from_mode_to_mode(self, house: House, client: str) -> None:
        """Entries are the same from whichever mode a file comes, and it is restored to the byte."""
        path = house.write_sample(client)
        before = path.read_bytes()
        entries: dict[str, set[str]] = {}
        for mode in EVERY_WAY:
            assert not apply(house.machine, EnrolRequest(mode=mode)).errors
            now = set(texts_of(path, client))
            assert entries.setdefault(mode, now) == now
            assert set(house.machine.settings.blueprints) == {"one", "two"}
            assert not apply(house.machine, EnrolRequest(mode=mode)).is_changed
        assert undo(house.machine, EnrolRequest()).files[0].exact
        assert path.read_bytes() == before

    @pytest.mark.parametrize("mode", ["http", "fail-open"])
    def test_changed_by_its_client_before_another_mode(self, house: House, mode: str) -> None:
        """Keys that a client adds to enrolled entries are kept through all modes, and the originals with them."""
        house.write(house.cursor, {"a": PROGRAM, "b": OTHER})
        apply(house.machine, EnrolRequest(mode=mode))
        servers = house.servers(house.cursor)
        house.write(house.cursor, {**servers, "a": {**servers["a"], "alwaysAllow": ["x"]}})
        apply(house.machine, EnrolRequest(mode="single"))
        assert list(house.servers(house.cursor)) == ["mcpgateway"]
        apply(house.machine, EnrolRequest(mode="fail-open"))
        assert house.servers(house.cursor)["a"]["alwaysAllow"] == ["x"]
        assert list(house.servers(house.cursor)) == ["a", "b"]
        undo(house.machine, EnrolRequest())
        assert house.servers(house.cursor) == {"a": {**PROGRAM, "alwaysAllow": ["x"]}, "b": OTHER}

    def test_other_entries_before_another_mode(self, house: House) -> None:
        """Servers that the user has made of enrolled entries stay; a renamed single entry goes with its mode."""
        house.write(house.cursor, {"a": PROGRAM, "b": OTHER})
        apply(house.machine, EnrolRequest())
        changed = {**house.servers(house.cursor), "b": {"url": "https://elsewhere.example/mcp"}}
        house.write(house.cursor, changed)
        apply(house.machine, EnrolRequest(mode="single"))
        assert house.servers(house.cursor)["b"] == changed["b"]
        one = house.servers(house.cursor)["mcpgateway"]
        house.write(house.cursor, {"all": one, "b": changed["b"], "c": OTHER})
        apply(house.machine, EnrolRequest(mode="http"))
        assert house.servers(house.cursor) == {
            "a": {"url": url("a")},
            "b": changed["b"],
            "c": {"url": url("c")},
        }
        undo(house.machine, EnrolRequest())
        assert house.servers(house.cursor) == {"a": PROGRAM, "b": changed["b"], "c": OTHER}

    def test_helper(self, house: House) -> None:
        """A client that knows how is asked to say who it is."""
        house.write(house.claude, {"a": PROGRAM})
        apply(house.machine, EnrolRequest(helper=True))
        assert "X-Client-Pid" in house.servers(house.claude)["a"]["headersHelper"]

    def test_no_gateway(self, house: House) -> None:
        """A warning says that no gateway answers where the entries lead to."""
        house.write(house.cursor, {"a": PROGRAM})
        assert apply(house.machine, EnrolRequest()).warnings == (enrolment.UNREACHABLE,)

    def test_bad_configuration(self, house: House) -> None:
        """A configuration with errors is reported with the command that shows them, and no file is changed."""
        house.configure("gateway: {http_port: no}\n")
        house.write(house.cursor, {"a": PROGRAM})
        with pytest.raises(ConfigError, match="mcpgateway config check"):
            apply(house.machine, EnrolRequest())
        assert house.servers(house.cursor) == {"a": PROGRAM}


class UsualModeTests:
    """The mode of a file for which nobody names one."""

    @pytest.mark.parametrize(
        ("service", "helper", "mode"),
        [
            ("", False, "http"),
            (None, False, "fail-open"),
            (None, True, "http"),
            (sealed("mcpgateway.service", "[Unit]\n\n", "/another/home"), False, "fail-open"),
        ],
    )
    def test_new(self, house: House, service: str | None, mode: str, *, helper: bool) -> None:
        """A file gets URLs where a service starts the gateway of this home, or where clients are to send headers."""
        house.write(house.claude, {"a": PROGRAM})
        house.service.unlink()
        if service is not None:
            house.service.write_text(service)
        (planned,) = plan(house.machine, EnrolRequest(helper=helper))
        assert planned.mode == mode
        assert ('"url"' in planned.after) == planned.leads_by_url == (mode == "http")

    def test_kept(self, house: House) -> None:
        """A file that was enrolled keeps its mode when the service is gone, and gets the one that is asked for."""
        house.write(house.claude, {"a": PROGRAM})
        apply(house.machine, EnrolRequest())
        house.service.unlink()
        assert not apply(house.machine, EnrolRequest()).is_changed
        assert apply(house.machine, EnrolRequest(mode="fail-open")).is_changed
        assert "url" not in house.servers(house.claude)["a"]


class AwkwardFileTests:
    """Files that cannot be treated like others."""

    def test_invalid(self, house: House) -> None:
        """A file that is not valid is never touched, and others are led here nevertheless."""
        house.cursor.parent.mkdir()
        house.cursor.write_text('{"mcpServers": {')
        house.write(house.claude, {"a": PROGRAM})
        cursor, claude = sorted(apply(house.machine, EnrolRequest()).files, key=lambda each: each.client)[
            ::-1
        ]
        assert cursor.error
        assert claude.adopted == {"a": "a"}
        assert house.cursor.read_text() == '{"mcpServers": {'

    def test_named(self, house: House) -> None:
        """Where such a file was asked for, that is an error, and nothing is changed."""
        house.cursor.parent.mkdir()
        house.cursor.write_text("{")
        with pytest.raises(ConfigError, match=r"mcp\.json"):
            apply(house.machine, of(house.cursor))

    def test_symlink(self, house: House, tmp_path: Path) -> None:
        """A link stays one, and the file behind it is changed and comes back."""
        real = house.write(tmp_path / "dotfiles" / "cursor.json", {"a": PROGRAM})
        before = real.read_bytes()
        house.cursor.parent.mkdir()
        house.cursor.symlink_to(real)
        apply(house.machine, EnrolRequest())
        assert house.cursor.is_symlink()
        assert house.servers(real)["a"] == {"url": url("a")}
        undo(house.machine, EnrolRequest())
        assert house.cursor.is_symlink()
        assert real.read_bytes() == before

    def test_read_only(self, house: House) -> None:
        """A file that its user has made read-only is left, with a hint."""
        house.write(house.cursor, {"a": PROGRAM}).chmod(0o444)
        report = apply(house.machine, EnrolRequest()).files[0]
        assert "chmod u+w" in report.error
        assert house.servers(house.cursor) == {"a": PROGRAM}

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_owner(self, house: House) -> None:
        """The owner of a file stays."""
        os.chown(house.write(house.cursor, {"a": PROGRAM}), 12345, 54321)
        apply(house.machine, EnrolRequest())
        status = house.cursor.stat()
        assert (status.st_uid, status.st_gid) == (12345, 54321)

    def test_large(self, house: House) -> None:
        """A large file is changed and comes back to the byte; the soak run has one of 50 MB."""
        history = ["x" * 1000] * LARGE_KB
        house.claude.write_text(json.dumps({"history": history, "mcpServers": {"a": PROGRAM}}, indent=2))
        before = house.claude.read_bytes()
        assert apply(house.machine, EnrolRequest()).files[0].adopted == {"a": "a"}
        assert len(house.claude.read_bytes()) > LARGE_KB * 1000
        undo(house.machine, EnrolRequest())
        assert house.claude.read_bytes() == before

    def test_bom(self, house: House) -> None:
        """A byte order mark stays where it was."""
        house.write(house.cursor, {"a": PROGRAM})
        before = b"\xef\xbb\xbf" + house.cursor.read_bytes()
        house.cursor.write_bytes(before)
        apply(house.machine, EnrolRequest())
        assert house.cursor.read_bytes().startswith(b"\xef\xbb\xbf")
        undo(house.machine, EnrolRequest())
        assert house.cursor.read_bytes() == before

    def test_all_or_none(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """When one file cannot be changed, those that were changed before it are as they were."""
        house.write(house.claude, {"a": PROGRAM})
        house.write(house.cursor, {"b": OTHER})
        before = house.claude.read_bytes(), house.cursor.read_bytes()
        machine = house.machine
        change = machine.ledger.change

        def failing(path: str, *args: object, **more: object) -> object:
            if path == str(house.cursor):
                raise ConfigError(f"{path}: no space left on device")
            return change(path, *args, **more)

        monkeypatch.setattr(type(machine.ledger), "change", lambda _, *args, **more: failing(*args, **more))
        report = apply(machine, EnrolRequest())
        monkeypatch.undo()
        assert "no space left" in report.rolled_back
        assert (house.claude.read_bytes(), house.cursor.read_bytes()) == before
        assert house.machine.records.files == {}


class UndoTests:
    """Giving files back."""

    def test_removed_by_the_user(self, house: House) -> None:
        """An entry that the user has removed stays removed."""
        house.write(house.claude, {"a": PROGRAM, "b": OTHER})
        apply(house.machine, EnrolRequest())
        house.write(house.claude, {"b": house.servers(house.claude)["b"]})
        report = undo(house.machine, EnrolRequest()).files[0]
        assert (report.restored, report.gone) == (("b",), ("a",))
        assert house.servers(house.claude) == {"b": OTHER}

    def test_one_server(self, house: House) -> None:
        """A server that is given back stays its clients' own until it is asked for."""
        house.write(house.claude, {"a": PROGRAM, "b": OTHER})
        house.write(house.cursor, {"a": PROGRAM})
        apply(house.machine, EnrolRequest())
        undo(house.machine, EnrolRequest(servers=("a",)))
        assert house.servers(house.cursor) == {"a": PROGRAM}
        assert house.servers(house.claude) == {"a": PROGRAM, "b": {"type": "http", "url": url("b")}}
        report = apply(house.machine, EnrolRequest())
        assert not report.is_changed
        assert any("apply --server a" in each.hint for file in report.files for each in file.left)
        apply(house.machine, EnrolRequest(servers=("a",)))
        assert house.servers(house.cursor)["a"] == {"url": url("a")}
        assert house.machine.records.opted_out == frozenset()

    def test_one_server_of_one_client(self, house: House) -> None:
        """A server may stay the own one of one client only."""
        house.write(house.claude, {"a": PROGRAM})
        house.write(house.cursor, {"a": PROGRAM})
        apply(house.machine, EnrolRequest())
        undo(house.machine, EnrolRequest(FileChoice(("cursor",)), ("a",)))
        assert not apply(house.machine, EnrolRequest()).is_changed
        assert house.servers(house.cursor) == {"a": PROGRAM}
        assert house.servers(house.claude)["a"]["url"] == url("a")

    def test_opted_out_in_the_configuration(self, house: House) -> None:
        """An entry that the configuration keeps out stays, and asking for it is an error."""
        house.configure("clients: {opt_out: [a]}\n")
        house.write(house.cursor, {"a": PROGRAM})
        assert not apply(house.machine, EnrolRequest()).is_changed
        with pytest.raises(ConfigError, match="opt_out"):
            apply(house.machine, EnrolRequest(servers=("a",)))

    def test_file_has_gone(self, house: House) -> None:
        """A file that is not there any more is forgotten."""
        house.write(house.cursor, {"a": PROGRAM})
        apply(house.machine, EnrolRequest())
        house.cursor.unlink()
        undo(house.machine, EnrolRequest())
        assert house.machine.records.files == {}
        assert not house.cursor.exists()


class ProjectTests:
    """Files in a repository."""

    def test_approved(self, house: House, tmp_path: Path) -> None:
        """A project's file that its user enrols may run, as long as it does."""
        project = tmp_path / "shop"
        file = house.write(project / ".mcp.json", {"a": PROGRAM})
        before = file.read_bytes()
        report = apply(house.machine, EnrolRequest(FileChoice(project=str(project))))
        assert [each.adopted for each in report.files] == [{"a": "a"}]
        assert str(file) in approvals.read(str(house.home))
        assert house.machine.settings.blueprints["a"].entry.origin.project == str(project)
        undo(house.machine, EnrolRequest(FileChoice(project=str(project))))
        assert file.read_bytes() == before
        assert approvals.read(str(house.home)) == {}

    @pytest.mark.parametrize("mode", ["http", "fail-open", "single"])
    def test_says_for_which(self, house: House, tmp_path: Path, mode: str) -> None:
        """However an entry of a project's file leads here, it says for which project it is."""
        project = tmp_path / "my shop"
        file = house.write(project / ".cursor" / "mcp.json", {"a": PROGRAM})
        before = file.read_bytes()
        apply(house.machine, EnrolRequest(FileChoice(project=str(project)), mode=mode))
        (ours,) = house.servers(file).values()
        if mode == "fail-open":
            assert ours["args"][ours["args"].index("--project") + 1] == str(project)
        else:
            assert ours["headers"] == {"Mcp-Project-Path": str(project).replace(" ", "%20")}
        assert not [each for each in house.machine.settings.adopted if each.unsettled]
        apply(house.machine, EnrolRequest(FileChoice(project=str(project)), mode=mode))
        assert list(house.servers(file).values()) == [ours]
        undo(house.machine, EnrolRequest(FileChoice(project=str(project))))
        assert file.read_bytes() == before

    def test_claude_codes_own(self, house: House, tmp_path: Path) -> None:
        """Claude Code's entries for a project name the project; its entries for all do not."""
        project = tmp_path / "shop"
        project.mkdir()
        file = Path(house.environ["HOME"]) / ".claude.json"
        said = {"mcpServers": {"a": PROGRAM}, "projects": {str(project): {"mcpServers": {"b": OTHER}}}}
        file.write_text(json.dumps(said))
        apply(house.machine, EnrolRequest(FileChoice(clients=("claude-code",))))
        now = json.loads(file.read_text())
        assert now["mcpServers"] == {"a": {"type": "http", "url": url("a")}}
        assert now["projects"][str(project)]["mcpServers"] == {
            "b": {"type": "http", "url": url("b"), "headers": {"Mcp-Project-Path": str(project)}}
        }
        projects = {each.name: each.project for each in house.machine.settings.servers}
        assert projects == {"a": "", "b": str(project)}
        undo(house.machine, EnrolRequest())
        assert json.loads(file.read_text()) == said

    def test_entries_that_say_nothing(self, house: House, tmp_path: Path) -> None:
        """Entries without their header, as a former release wrote them, get it when they are led here again."""
        project = tmp_path / "shop"
        file = house.write(project / ".mcp.json", {"a": PROGRAM})
        before = file.read_bytes()
        apply(house.machine, EnrolRequest(FileChoice(project=str(project))))
        house.write(file, {"a": {"type": "http", "url": url("a"), "timeout": 5}})
        (adopted,) = house.machine.settings.adopted
        assert adopted.unsettled == ("mcpServers.a does not name its project",)
        report = apply(house.machine, EnrolRequest(FileChoice(project=str(project))))
        assert [each.renewed for each in report.files] == [{"a": "a"}]
        assert not [each for each in house.machine.settings.adopted if each.unsettled]
        assert house.servers(file)["a"]["headers"] == {"Mcp-Project-Path": str(project)}
        assert house.servers(file)["a"]["timeout"] == 5
        undo(house.machine, EnrolRequest(FileChoice(project=str(project))))
        assert house.servers(file) == {"a": {**json.loads(before)["mcpServers"]["a"], "timeout": 5}}

    def test_others_write_it(self, house: House, tmp_path: Path) -> None:
        """An entry that is added to a project's file is not enrolled with the user's own files."""
        project = tmp_path / "shop"
        file = house.write(project / ".mcp.json", {"a": PROGRAM})
        apply(house.machine, EnrolRequest(FileChoice(project=str(project))))
        house.write(file, {**house.servers(file), "evil": OTHER})
        apply(house.machine, EnrolRequest())
        assert house.servers(file)["evil"] == OTHER

    def test_no_files(self, house: House, tmp_path: Path) -> None:
        """A project without such files is an error."""
        with pytest.raises(ConfigError, match="no client has servers"):
            apply(house.machine, EnrolRequest(FileChoice(project=str(tmp_path / "none"))))


class SuspendTests:
    """Giving files back for now."""

    def test_there_and_back(self, house: House) -> None:
        """A file is as before while it is suspended, and leads here in the same way afterwards."""
        house.write(house.cursor, {"a": PROGRAM})
        before = house.cursor.read_bytes()
        apply(house.machine, EnrolRequest(mode="fail-open"))
        led = house.cursor.read_bytes()
        suspend(str(house.home), house.environ, "stopped")
        assert house.cursor.read_bytes() == before
        assert not suspend(str(house.home), house.environ, "stopped").is_changed
        resume(str(house.home), house.environ)
        assert house.cursor.read_bytes() == led
        undo(house.machine, EnrolRequest())
        assert house.cursor.read_bytes() == before

    def test_disabled_stays(self, house: House) -> None:
        """A disabled file is not enrolled by a start."""
        house.write(house.cursor, {"a": PROGRAM})
        apply(house.machine, EnrolRequest())
        suspend(str(house.home), house.environ, "disabled")
        suspend(str(house.home), house.environ, "stopped")
        assert resume(str(house.home), house.environ).files == ()
        assert house.servers(house.cursor) == {"a": PROGRAM}
        assert resume(str(house.home), house.environ, ("disabled",)).is_changed

    def test_undo_forgets(self, house: House) -> None:
        """A suspended file is forgotten by undo, and stays as it is."""
        house.write(house.cursor, {"a": PROGRAM})
        apply(house.machine, EnrolRequest())
        suspend(str(house.home), house.environ, "stopped")
        undo(house.machine, EnrolRequest())
        assert resume(str(house.home), house.environ).files == ()

    def test_project_meanwhile(self, house: House, tmp_path: Path) -> None:
        """The entries of a project's file that are enrolled again are those that were before."""
        project = tmp_path / "shop"
        file = house.write(project / ".mcp.json", {"a": PROGRAM})
        apply(house.machine, EnrolRequest(FileChoice(project=str(project))))
        suspend(str(house.home), house.environ, "stopped")
        house.write(file, {"a": PROGRAM, "evil": OTHER})
        resume(str(house.home), house.environ)
        led = {"type": "http", "url": url("a"), "headers": {"Mcp-Project-Path": str(project)}}
        assert house.servers(file) == {"a": led, "evil": OTHER}

    def test_nothing(self, house: House) -> None:
        """Where nothing leads here nothing is done, not even a ledger is made."""
        assert suspend(str(house.home), house.environ, "stopped").files == ()
        assert not house.home.exists()


class AdoptableTests:
    """The servers that a start offers to enrol."""

    def test_asked(self, house: House) -> None:
        """A start learns which servers could be enrolled, and the configured choice."""
        house.write(house.cursor, {"a": PROGRAM})
        found = adoptable(str(house.home), house.environ)
        assert (found.adopt, found.servers) == ("ask", {str(house.cursor): ("a",)})
        apply(house.machine, EnrolRequest())
        assert adoptable(str(house.home), house.environ).servers == {}


class PlanTests:
    """Looking ahead."""

    def test_writes_nothing(self, house: House) -> None:
        """A plan changes nothing and makes nothing."""
        house.write(house.cursor, {"a": PROGRAM})
        assert plan(house.machine, EnrolRequest())[0].is_change
        assert house.servers(house.cursor) == {"a": PROGRAM}
        assert not house.home.exists()

    def test_unknown_client(self, house: House) -> None:
        """A client that is not known is an error that names those that are."""
        with pytest.raises(ConfigError, match="claude-code"):
            plan(house.machine, EnrolRequest(FileChoice(("clod",))))
