"""The difference that a change makes in a client's file."""

from __future__ import annotations

import json

import pytest

from mcpgateway.clientfiles.diff import diff, vocabulary


@pytest.mark.parametrize(
    ("name", "value", "is_shown"),
    [
        ("MEMORY_FILE_PATH", "/home/me/memory.json", True),
        ("DIRECTORY", "~/notes/may", True),
        ("API_TOKEN", "/home/me/memory.json", False),
        ("KEY", "/tmp/aB3xKq9Zt8Lm2Pq", False),
        ("PLACE", "/x9Fq2Lz/Kd83jdkQ", False),
        ("NAME", "plain", False),
    ],
)
def test_values_of_variables(*, name: str, value: str, is_shown: bool) -> None:
    """Of the values of variables only paths are shown that say nothing secret."""
    entry = {"command": "node", "env": {name: value}}
    after = f'{{"notes": {{"command": "node", "env": {{"{name}": "{value}"}}}}}}\n'
    lines = "\n".join(diff("/f", "{}\n", after, vocabulary(({"notes": entry},))))
    assert (value in lines) is is_shown


def test_another_secret() -> None:
    """A changed secret is told as such, and a line that only moves is not; tabs are spaces."""
    entries = [
        {"env": {"KEY": secret, "OTHER": "same-secret"}} for secret in ("former-secret", "latter-secret")
    ]
    texts = [
        f'{{\n\t"env": {{\n\t\t"KEY": "{each["env"]["KEY"]}",\n\t\t"OTHER": "same-secret"\n\t}}\n}}\n'
        for each in entries
    ]
    lines = list(diff("/f", *texts, vocabulary(({"a": entries[0], "b": entries[1]},))))
    changed = [each for each in lines[3:] if each[0] in "+-"]
    assert [each.endswith("(another value)") for each in changed] == [False, True]
    assert all(each[1:].startswith('        "KEY": ') for each in changed)
    assert "secret" not in "\n".join(lines)


SERVER = {
    "command": "npx",
    "args": ["-y", "@x/notes", "--token=sekret123456"],
    "env": {"API_KEY": "hunter2hunter2", "DIR": "/home/me/notes"},
    "timeout": 30,
}
REMOTE = {"url": "https://h.example/mcp?key=abcdefghijk", "headers": {"Authorization": "Bearer abc"}}
SECRETS = ("sekret123456", "hunter2hunter2", "abcdefghijk", "Bearer abc", "private")


@pytest.mark.parametrize("length", [0, 2000])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_one_line(separators: tuple[str, str], length: int) -> None:
    """A file in one line is laid out in lines: its secrets are masked alone, whatever its length."""
    rest = {"account": "private" + length * "x"}
    servers = ({"notes": SERVER, "far": REMOTE}, {"notes": {"url": "http://localhost:9100/notes/mcp"}})
    texts = [json.dumps({"mcpServers": each, **rest}, separators=separators) for each in servers]
    lines = list(diff("/f", *texts, vocabulary(servers)))
    assert '+      "url": "http://localhost:9100/notes/mcp"' in lines
    told = "\n".join(lines)
    for shown in ('"npx"', '"@x/notes"', '"--token=***', '"DIR": "/home/me/notes"', '"timeout": 30', "}"):
        assert shown in told
    assert '"url": "https://h.example/mcp?***' in told
    assert not any(each in told for each in SECRETS)


def test_addresses_in_one_line() -> None:
    """The end of an address is that of its text, also in a line that cannot be laid out."""
    entries = {"a": {"url": "http://one.example/mcp"}, "b": {"command": "run"}}
    text = json.dumps(entries, separators=(",", ":"))
    lines = list(diff("/f", f"// {{}}\n{text}", "// {}\n{}", vocabulary((entries,))))
    assert f"-{text}" in lines


def test_a_text_that_is_secret_elsewhere() -> None:
    """A text that is shown in part as an address is hidden where it is the value of a variable, and everywhere then."""
    url = "https://h.example/mcp?key=abcdefghijk"
    for entries in ([{"url": url}, {"env": {"PLACE": url}}], [{"env": {"PLACE": url}}, {"url": url}]):
        text = json.dumps({"a": entries}, indent=1)
        assert "h.example" not in "\n".join(diff("/f", "{}\n\n", text, vocabulary(entries)))
