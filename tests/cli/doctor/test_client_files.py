"""Clients' own files, and what leads to the gateway in them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mcpgateway.cli.doctor.context import DoctorContext
from mcpgateway.cli.doctor.finding import DoctorFinding, Severity
from mcpgateway.clientfiles.ledger import LedgerRecords
from mcpgateway.system.process.socket_owners import PortHolder
from tests.support.doctoring import NOW, answers, found, ids, is_fine, world, written

URL = "http://localhost:9100/{}/mcp"
CLAUDE = {"type": "http", "url": URL.format("x")}


def wired(tmp_path: Path, files: dict[str, Any], **parts: Any) -> DoctorContext:
    """A user whose clients have these files, and a gateway that serves x and y."""
    backends = [{"name": "x", "status": "idle"}, {"name": "y", "status": "idle"}]
    gateway = answers(backends=backends)
    made = world(tmp_path, **{"socket": gateway, "health": gateway, "records": LedgerRecords(), **parts})
    for name, content in files.items():
        path = Path(made.user_home) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        path.chmod(0o600)
    return made


def servers(**entries: Any) -> dict[str, Any]:
    """A file with these entries."""
    return {"mcpServers": entries}


def mend(finding: DoctorFinding) -> None:
    """Do what the finding says can be done."""
    assert finding.repair is not None
    finding.repair.do()


class ClientTests:
    """The check of the entries in each client's file."""

    def test_counts(self, tmp_path: Path) -> None:
        """The finding on a file counts the entries of the gateway, those on stdio, and others."""
        looked_at = wired(
            tmp_path,
            {".claude.json": servers(x=CLAUDE, s={"command": "a"}, r={"type": "sse", "url": "http://h/x"})},
        )
        counts, unrouted = found("clients", looked_at)
        assert counts.text.startswith("Claude Code: 1 via the gateway, 1 stdio, 1 other (")
        assert (unrouted.id, unrouted.text.rpartition(" ")[2]) == ("clients.unrouted", "s")

    def test_none(self, tmp_path: Path) -> None:
        """A user without clients has nothing wrong."""
        assert is_fine("clients", wired(tmp_path, {}))

    def test_unreadable(self, tmp_path: Path) -> None:
        """A file that is half a file is named with its line."""
        (only,) = found("clients", wired(tmp_path, {".claude.json": '{"mcpServers": {'}))
        assert only.id == "clients.unreadable"
        assert ".claude.json" in only.text

    def test_modes(self, tmp_path: Path) -> None:
        """A file that everybody can write is closed; one with values that others can read is worth a note."""
        looked_at = wired(tmp_path, {".cursor/mcp.json": servers(s={"command": "a", "env": {"K": "secret"}})})
        path = Path(looked_at.user_home) / ".cursor/mcp.json"
        assert ids("clients", looked_at) == ["clients"]
        path.chmod(0o644)
        assert ids("clients", looked_at) == ["clients", "clients.readable"]
        path.chmod(0o666)
        _, writable = found("clients", looked_at)
        assert writable.id == "clients.writable"
        mend(writable)
        assert path.stat().st_mode & 0o777 == 0o664

    def test_chosen(self, tmp_path: Path) -> None:
        """The check looks at the named clients only."""
        files = {".claude.json": servers(), ".cursor/mcp.json": servers()}
        (only,) = found("clients", wired(tmp_path, files, clients=("cursor",)))
        assert only.text.startswith("Cursor:")

    def test_detected(self, tmp_path: Path) -> None:
        """The AI tools of the machine are named, with their files."""
        assert ids("tools", wired(tmp_path, {})) == ["tools.none"]
        (only,) = found("tools", wired(tmp_path, {".claude.json": "{}"}))
        assert only.text == "detected AI tools: claude-code"
        assert only.more[0].startswith("○ claude-code: /")


class WiringTests:
    """The check that entries get to the gateway."""

    def test_fine(self, tmp_path: Path) -> None:
        """Entries that are written as their clients want them, to servers that there are."""
        files = {
            ".claude.json": servers(x=CLAUDE, y={**CLAUDE, "type": "streamable-http"}),
            ".cursor/mcp.json": servers(x={"url": URL.format("x")}),
            ".gemini/settings.json": servers(x={"url": URL.format("x")}),
        }
        assert is_fine("wiring", wired(tmp_path, files))

    def test_dead(self, tmp_path: Path) -> None:
        """Where nobody answers at the port, the entries with URLs are dead, and those with a command are not."""
        shim = {"command": "mcpgateway", "args": ["connect", "x", "--", "a"]}
        files = {".claude.json": servers(x=CLAUDE, y=shim), ".cursor/mcp.json": servers(y=shim)}
        (only,) = found("wiring", wired(tmp_path, files, health=world(tmp_path).health))
        assert only.id == "wiring.dead"
        assert "Claude Code" in only.text
        assert " y" not in only.text
        # The ledger does not know them, so nothing gives them back.
        assert "clients undo" not in only.advice
        assert "where it does not have x, put the server's own entry there" in only.advice

    def test_another_port(self, tmp_path: Path) -> None:
        """An entry to a port of this machine where nobody listens is told of; one where somebody does is his."""
        files = {".claude.json": servers(x={"type": "http", "url": "http://127.0.0.1:9200/x/mcp"})}
        (only,) = found("wiring", wired(tmp_path, files, holders=lambda _: ()))
        assert only.id == "wiring.port"
        # The ledger does not know it, so nothing rewrites it.
        assert "clients apply leads it to the port" not in only.advice
        assert "mcpgateway restart --port 9200" in only.advice
        assert is_fine("wiring", wired(tmp_path, files, holders=lambda _: (PortHolder(1, "x", 0),)))

    @pytest.mark.parametrize("path", ["mcp", "figma/mcp", "sse"])
    def test_other_program(self, tmp_path: Path, path: str) -> None:
        """A server of another program on this machine that is not running is no matter of the gateway's port."""
        entry = {"type": "http", "url": f"http://127.0.0.1:3845/{path}"}
        (only,) = found(
            "wiring", wired(tmp_path, {".claude.json": servers(figma=entry)}, holders=lambda _: ())
        )
        assert (only.id, only.level) == ("wiring.asleep", Severity.NOTE)
        assert "restart" not in only.advice

    def test_unknown(self, tmp_path: Path) -> None:
        """An entry to a server that there is not is named."""
        files = {".claude.json": servers(z={**CLAUDE, "url": URL.format("z")})}
        assert ids("wiring", wired(tmp_path, files)) == ["wiring.unknown"]

    @pytest.mark.parametrize(
        ("file", "content", "lacks"),
        [
            (".claude.json", servers(x={"url": URL.format("x")}), "type: http"),
            (".codeium/windsurf/mcp_config.json", servers(x={"url": URL.format("x")}), "serverUrl"),
            (".qwen/settings.json", servers(x={"url": URL.format("x")}), "httpUrl"),
            (".config/opencode/opencode.json", {"mcp": {"x": {"url": URL.format("x")}}}, "type: remote"),
            (
                ".config/goose/config.yaml",
                f"extensions:\n  x:\n    type: sse\n    uri: {URL.format('x')}\n",
                "type:",
            ),
        ],
    )
    def test_miswritten(self, tmp_path: Path, file: str, content: Any, lacks: str) -> None:
        """An entry that its client passes over is reported with its missing keys and a remedy."""
        (only,) = found("wiring", wired(tmp_path, {file: content}))
        assert only.id == "wiring.form"
        assert lacks in only.text
        assert "mcpgateway clients apply --print" in only.advice

    def test_no_program(self, tmp_path: Path) -> None:
        """An entry that starts our program by a path where there is none is told of."""
        entry = {"command": str(tmp_path / "gone" / "mcpgateway"), "args": ["connect", "x"]}
        assert ids("wiring", wired(tmp_path, {".claude.json": servers(x=entry)})) == ["wiring.program"]


class ClaudeTests:
    """The check of Claude Code's own records."""

    def test_nothing(self, tmp_path: Path) -> None:
        """Claude Code has nothing against anybody."""
        assert is_fine("claude", wired(tmp_path, {".claude.json": servers(x=CLAUDE)}))

    def test_needs_a_login(self, tmp_path: Path) -> None:
        """A server of ours that is marked is told of; another's is not."""
        cache = {"x": {"timestamp": 1}, "other": {"timestamp": 1}}
        files = {".claude.json": servers(x=CLAUDE), ".claude/mcp-needs-auth-cache.json": cache}
        (only,) = found("claude", wired(tmp_path, files))
        assert (only.id, only.text.split()[0]) == ("claude.auth", "x")

    def test_lock(self, tmp_path: Path) -> None:
        """A lock that was left is removed; one that is in use stays."""
        looked_at = wired(tmp_path, {".claude.json": servers()})
        lock = Path(looked_at.user_home) / ".claude.json.lock"
        lock.mkdir()
        os.utime(lock, (NOW, NOW))
        assert is_fine("claude", looked_at)
        os.utime(lock, (NOW - 100, NOW - 100))
        (only,) = found("claude", looked_at)
        assert only.id == "claude.lock"
        mend(only)
        assert not lock.exists()

    def test_approval(self, tmp_path: Path) -> None:
        """A project's entry that Claude Code waits to be approved is told of, until it is."""
        from mcpgateway.clientfiles.enrolment_records import FileRecord

        path = tmp_path / "shop" / ".mcp.json"
        path.parent.mkdir()
        path.write_text(json.dumps(servers(x=CLAUDE)))
        recorded = LedgerRecords({str(path): FileRecord(str(path), "claude-code", project=str(path.parent))})
        (only,) = found("claude", wired(tmp_path, {}, records=recorded))
        assert only.id == "claude.approval"
        assert "Claude Code waits" in only.text
        assert "config approve" not in only.text + only.advice  # which is the gateway's own approval
        approved = {"projects": {str(path.parent): {"enabledMcpjsonServers": ["x"]}}}
        assert is_fine("claude", wired(tmp_path, {".claude.json": approved}, records=recorded))
        all_ = {".claude/settings.json": {"enableAllProjectMcpServers": True}, ".claude.json": {}}
        assert is_fine("claude", wired(tmp_path, all_, records=recorded))


class ApprovalTests:
    """Repositories that wait."""

    def test_waiting(self, tmp_path: Path) -> None:
        """Each repository that waits is named with the command that lets it run."""
        assert is_fine("approvals", wired(tmp_path, {}))
        looked_at = world(tmp_path, socket=answers(approvals=[{"path": "/shop/.mcp.json", "servers": ["a"]}]))
        (only,) = found("approvals", looked_at)
        assert (only.id, only.advice) == ("approvals.waiting", "mcpgateway config approve /shop/.mcp.json")


def catalogued(looked_at: DoctorContext, name: str, *tools: str) -> None:
    """Put on record that a server has these tools."""
    from mcpgateway.policy.recorded_answers import AnswerKey, Catalog, RecordedAnswer
    from mcpgateway.protocol.jsonrpc import raw
    from mcpgateway.protocol.versions import Era

    page = raw({"tools": [{"name": each, "inputSchema": {}} for each in tools]})
    catalog = Catalog({AnswerKey("p", Era.LEGACY, "t"): {"tools/list": RecordedAnswer((page,), int(NOW))}})
    written(looked_at, f"catalogs/{name}.json", catalog.written().decode())


class NameTests:
    """Names and numbers of tools."""

    def test_short(self, tmp_path: Path) -> None:
        """Short names are fine."""
        looked_at = wired(tmp_path, {".claude.json": servers(x=CLAUDE)})
        catalogued(looked_at, "x", "now")
        assert is_fine("names", looked_at)

    @pytest.mark.parametrize(
        ("title", "tool", "expected"),
        [
            ("x", "t" * 46, ["names"]),
            ("x", "t" * 47, ["names.longish"]),
            ("long-name-of-a-server", "t" * 46, ["names.long"]),
            ("x", "t" * 58, ["names.longish", "names.long"]),
        ],
    )
    def test_long(self, tmp_path: Path, title: str, tool: str, expected: list[str]) -> None:
        """With Claude Code's prefix 64 characters are the limit; without it 46 are worth a note."""
        looked_at = wired(tmp_path, {".claude.json": servers(**{title: CLAUDE})})
        catalogued(looked_at, "x", tool)
        assert ids("names", looked_at) == expected

    @pytest.mark.parametrize(("number", "name"), [(40, "budget"), (41, "budget.near"), (81, "budget.over")])
    def test_budget(self, tmp_path: Path, number: int, name: str) -> None:
        """A client that gets more tools than it takes is told of."""
        looked_at = wired(tmp_path, {".cursor/mcp.json": servers(x={"url": URL.format("x")})})
        catalogued(looked_at, "x", *(f"t{each}" for each in range(number)))
        catalogued(looked_at, "y", *(f"t{each}" for each in range(100)))
        assert ids("budget", looked_at) == [name]
