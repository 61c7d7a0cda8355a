"""Servers as people paste them."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from mcpgateway.cli.console import Trouble
from mcpgateway.cli.pasted import read_pasted, read_typed

NOTES = {"command": "npx", "args": ["-y", "notes-mcp"], "env": {"KEY": "s3cret"}}
CODED = base64.b64encode(json.dumps(NOTES).encode()).decode()
LINE = "claude mcp add -s user notes --env KEY=s3cret -- npx -y notes-mcp"


class PastedTests:
    @pytest.mark.parametrize(
        "text",
        [
            json.dumps({"mcpServers": {"notes": NOTES}}),
            json.dumps({"servers": {"notes": NOTES}, "inputs": []}),
            json.dumps({"notes": NOTES}),
            json.dumps({"name": "notes", **NOTES}),
            f"// of the README\n/* all of it */ {json.dumps({'mcpServers': {'notes': NOTES}})}",
            f'"notes": {json.dumps(NOTES)}',
            f'// one of several\n"notes": {json.dumps(NOTES)},',
            f"```json\n{json.dumps({'mcpServers': {'notes': NOTES}})}\n```",
            (
                '# of Codex\n[mcp_servers.notes]\ncommand = "npx"\nargs = ["-y", "notes-mcp"]\n'
                '[mcp_servers.notes.env]\nKEY = "s3cret"\n'
            ),
            LINE,
            "$ claude mcp add notes -e KEY=s3cret -- npx -y notes-mcp".removeprefix("$ "),
            "codex mcp add notes --env KEY=s3cret -- npx -y notes-mcp",
            "claude mcp add notes \\\n  -e KEY=s3cret \\\n  -- npx -y notes-mcp",
            f"claude mcp add-json notes '{json.dumps(NOTES)}'",
            f"code --add-mcp '{json.dumps({'name': 'notes', **NOTES})}'",
            f"code-insiders --add-mcp='{json.dumps({'name': 'notes', **NOTES})}'",
            f"cursor://anysphere.cursor-deeplink/mcp/install?name=notes&config={quote(CODED)}",
            f"https://cursor.com/en/install-mcp?name=notes&config={CODED.rstrip('=')}",
            f"vscode:mcp/install?{quote(json.dumps({'name': 'notes', **NOTES}))}",
            "https://insiders.vscode.dev/redirect/mcp/install?name=notes&config=" + quote(json.dumps(NOTES)),
        ],
    )
    def test_forms(self, text: str) -> None:
        """Every form has the name, the command and the variables."""
        assert read_pasted(f"\n{text}\n") == {"notes": NOTES}

    def test_whole_command(self) -> None:
        """The words of a command that is one text are taken apart, in links and in JSON; a path keeps its blanks."""
        line = {"command": "npx -y '@a/b c'", "env": {"A": "1"}}
        coded = base64.b64encode(json.dumps(line).encode()).decode()
        apart = {"command": "npx", "args": ["-y", "@a/b c"], "env": {"A": "1"}}
        for text in (
            f"cursor://anysphere.cursor-deeplink/mcp/install?name=notes&config={quote(coded)}",
            f"https://cursor.com/en/install-mcp?name=notes&config={quote(coded)}",
            f"vscode:mcp/install?{quote(json.dumps({'name': 'notes', **line}))}",
            f"https://insiders.vscode.dev/redirect/mcp/install?name=notes&config={quote(json.dumps(line))}",
            json.dumps({"mcpServers": {"notes": line}}),
        ):
            assert read_pasted(text) == {"notes": apart}
        more = read_pasted(json.dumps({"notes": {"command": "uvx --from a", "args": ["b"]}}))
        assert more["notes"] == {"command": "uvx", "args": ["--from", "a", "b"]}
        path = {"command": "/opt/my tools/run"}
        assert read_pasted(json.dumps({"notes": path}))["notes"] == path

    def test_remote(self) -> None:
        """A line with a URL has the URL and the headers."""
        line = "claude mcp add --transport http hub https://h.example/mcp --header 'Authorization: Bearer s3cret'"
        assert read_pasted(line) == {
            "hub": {"url": "https://h.example/mcp", "headers": {"Authorization": "Bearer s3cret"}}
        }
        assert read_pasted("codex mcp add hub --url https://h.example/mcp") == {
            "hub": {"url": "https://h.example/mcp"}
        }

    def test_several(self) -> None:
        """The servers of a whole file come together; one without a name has the name ""."""
        assert read_pasted(json.dumps({"mcpServers": {"a": NOTES, "b": {"url": "http://x"}}})).keys() == {
            "a",
            "b",
        }
        assert read_pasted(json.dumps(NOTES)) == {"": NOTES}

    def test_json_of_an_editor(self) -> None:
        """JSON is read as clients read it, with comments and commas behind the last value."""
        assert read_pasted('{"a": {"command": "npx", "args": ["x",],},} // mine') == {
            "a": {"command": "npx", "args": ["x"]}
        }

    def test_where_it_is_wrong(self) -> None:
        """The error of malformed JSON has the place, and shows the line without its values."""
        with pytest.raises(Trouble) as caught:
            read_pasted('{"a":\n {"command" "s3cret"}}')
        assert str(caught.value) == "stdin, line 2, column 13: is not valid JSON"
        assert caught.value.hint.splitlines()[1].index("^") == 12
        assert "s3cret" not in caught.value.hint

    @pytest.mark.parametrize(
        "text",
        [
            *("", "s3cret", "{", "[]", '{"s3cret": 1}', '{"mcpServers": {"a": {"env": {"A": "s3cret"}}}}'),
            *(
                "claude mcp add",
                "claude mcp add s3cret",
                "claude mcp add a -e s3cret -- x",
                "claude mcp add 's3cret",
            ),
            *("https://h.example/?s3cret", "cursor://x/mcp/install?name=a&config=s3cret"),
        ],
    )
    def test_refused(self, text: str) -> None:
        """A text of no such form is refused, and nothing of it is quoted."""
        with pytest.raises(Trouble) as caught:
            read_pasted(text)
        assert "s3cret" not in str(caught.value)


class TestTerminal:
    """A paste on a terminal, which has no end of its own."""

    def test_an_empty_line_ends_it(self) -> None:
        """Empty lines before the text are passed over, and the first one behind it ends it."""
        lines = iter(["\n", "{\n", "}\n", "\n", "more\n"])
        assert read_typed(lines) == "{\n}\n"
        assert next(lines) == "more\n"

    def test_the_end_of_the_input_ends_it(self) -> None:
        """Ctrl-D ends it, too."""
        assert read_typed(["{}"]) == "{}"
