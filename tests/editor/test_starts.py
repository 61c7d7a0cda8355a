"""The gateway's absence, its crash and its return, its refusal, and its start, as a window of VS Code tells them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser
from tests.support.editor import IN_AN_EDITOR, Editor, Window
from tests.support.gateway import BIN, Gateway, eventually, server
from tests.support.ports import free_port
from tests.support.real_servers import fixture

pytestmark = IN_AN_EDITOR
# A program whose starts are counted, and fail for as long as a file is there.
FAILING = """#!/bin/sh
case "$*" in *" start") echo >>{starts}; test ! -e {fails} || exit 1;; esac
exec {program} "$@"
"""
SET = "await vscode.workspace.getConfiguration().update('mcpgateway.{}', {}, 1)"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    """A gateway that each test starts where it wants it."""
    servers = {f"server-{number:03}": server(fixture()) for number in range(100)}
    made = Gateway(tmp_path_factory.mktemp("starts"), servers, settings={"registry_url": ""})
    # Started by the extension, it has the configuration of its home.
    made.home.mkdir()
    (made.home / "config.json").write_text(json.dumps({"gateway": {"http_port": free_port()}}))
    return made


@pytest.fixture(scope="module")
def editor(gateway: Gateway) -> Iterator[Editor]:
    """An editor on its machine."""
    with Editor(gateway.directory, gateway.home) as made:
        yield made


def _open(editor: Editor, browser: Browser, name: str) -> Window:
    window = editor.window(browser, name)
    window.run("await vscode.commands.executeCommand('workbench.view.extension.mcpgateway')")
    return window


def _cli(gateway: Gateway, *words: str) -> dict[str, object]:
    argv = [str(BIN / "mcpgateway"), "--home", str(gateway.home), "--json", *words]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(gateway.directory), "MCPGATEWAY_RESTORE_AFTER": "0"}
    done = subprocess.run(argv, env=environ, check=True, capture_output=True, timeout=120)
    found: dict[str, object] = json.loads(done.stdout or b"{}")
    return found


class AbsenceTests:
    """A gateway that comes and goes."""

    def test_away_here_and_killed(self, editor: Editor, browser: Browser, gateway: Gateway) -> None:
        """A window says that the gateway is away, shows a hundred servers when it comes, and that it is gone again."""
        window = _open(editor, browser, "absent")
        window.sees("The gateway does not run.")
        assert "MCP off" in window.bar()
        with gateway:
            window.has_row("server-000, ready")
            eventually(lambda: "MCP 0/100" in window.bar(), "the status bar counts a hundred")
            gateway.kill()
            window.sees("The gateway does not run.")
            window.has_no_row("server-000")
            gateway.start()
            window.has_row("server-000, ready")
        window.sees("The gateway does not run.")

    def test_two_windows(self, editor: Editor, browser: Browser, gateway: Gateway) -> None:
        """Each of two windows follows the gateway, and the end of one disturbs neither the gateway nor the other."""
        with gateway:
            first = _open(editor, browser, "first")
            first.has_row("server-000, ready")
            tab = browser.tab()
            second = _open(editor, browser, "second")
            second.has_row("server-000, ready")
            second.command("startServer", "server-000")
            second.has_row("server-000, running")
            browser.go("about:blank")
            browser.tab(tab)
            browser.ask("Page.bringToFront")
            first.has_row("server-000, running")
            assert gateway.health()["status"] == "ok"


class StartTests:
    """The start by the extension."""

    def test_by_its_user(self, editor: Editor, browser: Browser, gateway: Gateway) -> None:
        """A start from the view starts it, a stop stops it, and then nothing starts it until its user does."""
        window = _open(editor, browser, "begun")
        window.press("Start the Gateway", ".pane-body")
        try:
            window.has_row("up ")
            window.run(SET.format("autoStart", "true"))
            window.begin("stopGateway")
            window.press("Stop", ".monaco-dialog-box")
            window.sees("You have stopped the gateway")
            again = _open(editor, browser, "again")
            again.sees("You have stopped the gateway")
            assert not (gateway.home / "state.json").exists()
            again.press("Start the Gateway", ".pane-body")
            again.has_row("up ")
        finally:
            _cli(gateway, "stop")

    def test_by_its_chat(self, editor: Editor, browser: Browser, gateway: Gateway) -> None:
        """A chat that needs the gateway starts it."""
        with gateway:
            pass
        editor.settings({})
        (gateway.home / "stopped").unlink(missing_ok=True)
        window = _open(editor, browser, "chat")
        window.sees("The gateway does not run.")
        try:
            window.begin("startChat")
            eventually(window.chat_tools, "the chat has the gateway's tools")
            assert _cli(gateway, "status")
        finally:
            _cli(gateway, "stop")

    def test_with_the_window(self, editor: Editor, browser: Browser, gateway: Gateway) -> None:
        """With its setting it is started when a window opens, and goes on when the window ends."""
        (gateway.home / "stopped").unlink(missing_ok=True)
        editor.settings({"mcpgateway.autoStart": True})
        window = _open(editor, browser, "opened")
        try:
            window.has_row("up ")
            browser.go("about:blank")
            assert _cli(gateway, "status")
        finally:
            _cli(gateway, "stop")
            editor.settings({})

    def test_after_a_crash(self, editor: Editor, browser: Browser, gateway: Gateway, tmp_path: Path) -> None:
        """It is started after 30, 60, and every 120 seconds from a crash, and a stop of its user ends that."""
        (gateway.home / "stopped").unlink(missing_ok=True)
        starts, fails = tmp_path / "starts", tmp_path / "fails"
        fails.touch()
        program = tmp_path / "mcpgateway"
        program.write_text(FAILING.format(starts=starts, fails=fails, program=BIN / "mcpgateway"))
        program.chmod(0o755)
        editor.settings({"mcpgateway.autoStart": True, "mcpgateway.path": str(program)})
        window = _open(editor, browser, "crashed")

        def count() -> int:
            return len(starts.read_text()) if starts.exists() else 0

        def passes(seconds: int) -> None:
            # The clock of the window stands still but for this, and its decisions are made every second.
            window.run(
                f"""globalThis.at += {seconds * 1000}
                await new Promise(resolve => setTimeout(resolve, 3000))"""
            )

        try:
            eventually(lambda: count() == 1, "it is started with the window")
            with gateway:
                window.has_row("server-000, ready")
                window.run("globalThis.at = Date.now(); Date.now = () => globalThis.at")
                gateway.kill()
                window.sees("The gateway does not run.")
                for number, pause in enumerate((30, 60, 120, 120), 1):
                    passes(pause - 1)
                    assert count() == number
                    passes(1)
                    eventually(lambda number=number: count() == number + 1, "it is started again")
                    eventually(lambda: "MCP off" in window.bar(), "that has failed")
                fails.unlink()
                passes(120)
                window.has_row("up ")
                _cli(gateway, "stop")
                window.sees("You have stopped the gateway")
                passes(1000)
                assert count() == 6
                gateway.start()
        finally:
            (gateway.home / "stopped").unlink(missing_ok=True)
            editor.settings({})

    def test_without_the_program(self, editor: Editor, browser: Browser) -> None:
        """A program that is not there is told of with the ways to choose one."""
        editor.settings({"mcpGateway.daemonPath": "/nowhere/gateway"})
        window = _open(editor, browser, "missing")
        window.begin("startGateway")
        window.sees("The program mcpgateway is not found")
        window.sees("Choose the Program")
        editor.settings({})


class AddressTests:
    """A gateway at an address, which wants a token."""

    def test_a_token(self, editor: Editor, browser: Browser, tmp_path: Path) -> None:
        """A gateway that refuses is told of, a wrong token changes nothing, and the right one is stored."""
        with Gateway(tmp_path, {"far": server(fixture())}) as far:
            _cli(far, "token", "enable")
            editor.settings({"mcpGateway.apiUrl": far.url})
            window = _open(editor, browser, "far")
            window.sees("The gateway wants a token.")
            for token in ("wrong", (far.home / "admin.token").read_text().strip()):
                window.begin("enterToken")
                window.answer(token)
            window.has_row("far, ready")
            window.command("startServer", "far")
            window.has_row("far, running")
            again = _open(editor, browser, "far-again")
            again.has_row("far, running")
            assert "admin" not in (editor.directory / "data" / "Machine" / "settings.json").read_text()
        editor.settings({})

    def test_the_chat(self, editor: Editor, browser: Browser, tmp_path: Path) -> None:
        """The chat gets the tools of a gateway that wants a token, with that of the window."""
        with Gateway(tmp_path, {"far": server(fixture())}) as far:
            _cli(far, "token", "enable")
            editor.settings(
                {"mcpGateway.apiUrl": far.url, "mcpGateway.authTokenPath": str(far.home / "admin.token")}
            )
            window = _open(editor, browser, "far-chat")
            window.has_row("far, ready")
            window.begin("startChat")
            eventually(window.chat_tools, "the chat has the gateway's tools")
        editor.settings({})

    def test_a_token_file(self, editor: Editor, browser: Browser, tmp_path: Path) -> None:
        """The token is read from a file that a setting names, also one of the former extension."""
        with Gateway(tmp_path, {"far": server(fixture())}) as far:
            _cli(far, "token", "enable")
            editor.settings(
                {"mcpGateway.apiUrl": far.url, "mcpGateway.authTokenPath": str(far.home / "admin.token")}
            )
            window = _open(editor, browser, "far-file")
            window.has_row("far, ready")
        editor.settings({})

    def test_another_program(self, editor: Editor, browser: Browser, tmp_path: Path) -> None:
        """Another program at the address is told from a gateway."""
        port = free_port()
        argv = [
            "python3",
            "-m",
            "http.server",
            str(port),
            "--bind",
            "127.0.0.1",
            "--directory",
            str(tmp_path),
        ]
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as other:
            editor.settings({"mcpgateway.url": f"http://127.0.0.1:{port}"})
            window = _open(editor, browser, "foreign")
            window.sees("Another program, or an older release of the gateway, answers at its address.")
            editor.settings({})
            other.terminate()
