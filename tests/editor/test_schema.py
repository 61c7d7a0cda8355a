"""The schema of configuration files as the language server of Red Hat's YAML extension uses it."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.support.editor import BUILD, EXTENSIONS, IN_AN_EDITOR, NODE

SERVER = BUILD / "yaml-ls" / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
pytestmark = [*IN_AN_EDITOR, pytest.mark.skipif(not SERVER.exists(), reason="make test-vscode installs it")]
RIGHT = """\
gateway:
  http_port: 9100
servers:
  notes:
    command: npx
    args: ["-y", "@modelcontextprotocol/server-memory"]
    env: {TOKEN: "${TOKEN}"}
"""


class LanguageServer:
    """A language server for YAML that knows the schema of the extension."""

    def __init__(self, to: IO[bytes], from_: IO[bytes], settings: object) -> None:
        self._to, self._from, self._settings = to, from_, settings
        self._numbers = iter(range(1, 1000))
        self.ask("initialize", {"processId": None, "rootUri": None, "capabilities": {"workspace": CAN}})
        self.tell("initialized", {})
        self.tell("workspace/didChangeConfiguration", {"settings": settings})

    def tell(self, method: str, params: object, **more: object) -> None:
        """Send a notification, or more."""
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **more}).encode()
        self._send(body)

    def ask(self, method: str, params: object) -> Any:
        """Send a request and return its result."""
        number = next(self._numbers)
        self.tell(method, params, id=number)
        return self._until(lambda each: each.get("id") == number and "method" not in each)["result"]

    def faults(self, uri: str, text: str) -> list[str]:
        """Return the faults of a text at a URI."""
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": document})
        told = self._until(
            lambda each: (
                each.get("method") == "textDocument/publishDiagnostics" and each["params"]["uri"] == uri
            )
        )
        return [each["message"] for each in told["params"]["diagnostics"]]

    def _send(self, body: bytes) -> None:
        self._to.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._to.flush()

    def _until(self, is_meant: Any) -> Any:
        while True:
            length = 0
            while line := self._from.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            assert length, "the server has ended"
            message = json.loads(self._from.read(length))
            if is_meant(message):
                return message
            if "id" in message and "method" in message:
                asked = message["params"].get("items", []) if message["params"] else []
                result = [self._settings.get(each["section"]) for each in asked] if asked else None  # type: ignore[attr-defined]
                self._send(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode())


CAN = {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": True}}


@pytest.fixture
def language_server(tmp_path: Path) -> Iterator[LanguageServer]:
    """A language server with what the extension contributes for YAML."""
    with zipfile.ZipFile(EXTENSIONS[0]) as ours:
        ours.extractall(tmp_path)
    extension = tmp_path / "extension"
    offered = json.loads((extension / "package.json").read_text())["contributes"]["yamlValidation"]
    schemas = {(extension / each["url"]).as_uri(): each["fileMatch"] for each in offered}
    settings = {"yaml": {"schemas": schemas, "validate": True, "schemaStore": {"enable": False}}}
    argv = [str(NODE), str(SERVER), "--stdio"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        yield LanguageServer(process.stdin, process.stdout, settings)
        process.kill()


class SchemaTests:
    """Files of the gateway's home."""

    @pytest.mark.parametrize("name", ["config.yaml", "config.local.yml", "config.d/team.yaml"])
    def test_a_file(self, language_server: LanguageServer, name: str) -> None:
        """A right file has no fault, a wrong key and a wrong value are told, and keys are offered with their words."""
        home = "file:///home/me/.mcp-gateway/"
        assert language_server.faults(home + name, RIGHT) == []
        wrong = RIGHT.replace("http_port: 9100", "http_port: many\n  nonsense: 1")
        found = "; ".join(language_server.faults(f"{home}config.d/wrong-{Path(name).name}", wrong))
        assert "nonsense" in found
        assert "integer" in found
        place = {"textDocument": {"uri": home + name}, "position": {"line": 1, "character": 4}}
        assert "port" in language_server.ask("textDocument/hover", place)["contents"]["value"]

    def test_another_file(self, language_server: LanguageServer) -> None:
        """A file of somebody else is left alone."""
        assert language_server.faults("file:///home/me/project/config.yaml", "gateway: {nonsense: 1}") == []
