"""The difference that a change makes in a client's file."""

from __future__ import annotations

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
