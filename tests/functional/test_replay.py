"""The flight recorder's messages, sent to a server again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpgateway.cli.commands.faults.replay import BEGINNINGS, CANCELLED, TOO_LONG, UNANSWERED
from tests.functional.test_tools_cli import ran
from tests.support.gateway import Gateway, server

pytestmark = pytest.mark.functional

# A server of the kind that users write: its answers come from a file, as those of a newer version would be others.
SERVER = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    params, word = asked.get("params") or {}, open(sys.argv[1]).read()
    if asked["method"] == "initialize":
        result = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "words", "version": "1"}}
    elif asked["method"] == "tools/list":
        result = {"tools": [{"name": "say", "description": word, "inputSchema": {"type": "object"}}]}
    else:
        result = {"content": [{"type": "text", "text": word + str(params["arguments"])}]}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with one server, whose word is "one"."""
    program, word = tmp_path / "words.py", tmp_path / "word"
    program.write_text(SERVER)
    word.write_text("one")
    with Gateway(tmp_path, {"words": server((sys.executable, "-I", str(program), str(word)))}) as running:
        yield running


def recorded(gateway: Gateway, *words: str) -> Path:
    """The file of a recording in which a tool was called with a secret and without one."""
    for argument in ("a=1", "password=hunter2hunter2"):
        assert ran(gateway.home, "tools", "call", "words__say", argument)[0] == 0
    file = gateway.home.parent / "words.jsonl"
    assert ran(gateway.home, "debug", "record", "export", "words", "--output", str(file), *words)[0] == 0
    return file


def test_same_and_different(gateway: Gateway, tmp_path: Path) -> None:
    """A server that answers as before is told to be the same; of another answer the place and both values are shown."""
    file = recorded(gateway)
    assert "hunter2hunter2" not in file.read_text()
    code, out, err = ran(gateway.home, "debug", "replay", str(file))
    assert (code, err) == (0, "")
    assert "tools/call say: same" in out
    assert "its arguments have a secret" in out
    (tmp_path / "word").write_text("two")
    code, out, _ = ran(gateway.home, "debug", "replay", str(file))
    assert code == 1
    assert "result.content[0].text: \"two{'a': '1'}\", and \"one{'a': '1'}\" before" in out


def test_exact(gateway: Gateway) -> None:
    """With the secrets, every request is sent again, and the answers are compared with them."""
    file = recorded(gateway, "--exact")
    assert file.read_text().count("hunter2hunter2") == 2
    code, out, _ = ran(gateway.home, "--json", "debug", "replay", "--exact", str(file))
    assert code == 0
    assert {each["outcome"] for each in json.loads(out)["items"]} == {"same"}
    code, out, _ = ran(gateway.home, "debug", "replay", str(file))
    assert code == 1
    assert "--exact compares them" in out


def test_long_lines(gateway: Gateway, tmp_path: Path) -> None:
    """A request of which the recording has the beginning is left out; so is the comparison of such an answer."""
    (tmp_path / "word").write_text("word " * 2000)
    assert ran(gateway.home, "tools", "call", "words__say", f"a={'long ' * 2000}")[0] == 0
    code, out, err = ran(gateway.home, "debug", "replay", str(recorded(gateway)))
    assert (code, err) == (0, "")
    assert f"tools/call say: left out ({TOO_LONG})" in out
    assert f"tools/call say: {UNANSWERED} ({BEGINNINGS})" in out


def test_cancelled(gateway: Gateway, tmp_path: Path) -> None:
    """A request that its client has cancelled has no answer to compare, and is left out."""
    call = {"id": 7, "method": "tools/call", "params": {"name": "say", "arguments": {}}}
    said = {"method": "notifications/cancelled", "params": {"requestId": 7}}
    file = tmp_path / "cancelled.jsonl"
    file.write_text(
        "".join(
            json.dumps({"server": "words", "child": 1, "direction": way, "message": each}) + "\n"
            for way, each in (
                ("to-server", call),
                ("to-server", said),
                ("from-server", {"id": 7, "error": {"code": 0, "message": "Request cancelled"}}),
            )
        )
    )
    code, out, _ = ran(gateway.home, "debug", "replay", str(file))
    assert code == 0
    assert f"tools/call say: left out ({CANCELLED})" in out


def test_refusals(gateway: Gateway, tmp_path: Path) -> None:
    """A file that is no recording is refused by its line, a recording without a server by what writes one."""
    wrong = tmp_path / "wrong.jsonl"
    for text, said in (("{}\n[1]\n", "line 2: not a line of a recording"), ("", "has no line of a server")):
        wrong.write_text(text)
        code, _, err = ran(gateway.home, "debug", "replay", str(wrong))
        assert code == 1
        assert said in err
    line = {"server": "gone", "child": 1, "direction": "to-server", "message": {"id": 1, "method": "x"}}
    wrong.write_text(json.dumps(line))
    code, _, err = ran(gateway.home, "debug", "replay", str(wrong))
    assert code == 1
    assert "Unknown server: gone" in err
