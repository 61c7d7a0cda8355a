"""Secrets of a server's variables, and their names in the file of values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from mcpgateway.config.expand import escaped
from mcpgateway.manage.secret_values import ValueOwners, kept, of_header, owners


def names(
    server: str, given: Mapping[str, str], there: Mapping[str, str], used: str = ""
) -> Mapping[str, str]:
    """The names in the file, of a server whose TOKEN refers to FX_TOKEN."""
    whose = ValueOwners(references={"other": f"${{{used}}}"} if used else {})
    found = kept(server, given, {"TOKEN": "${FX_TOKEN}"}, there, whose)
    assert found.texts.keys() == given.keys()
    assert all(found.texts[each] == f"${{{own}}}" for each, own in found.names.items())
    return found.names


@pytest.mark.parametrize(
    ("server", "variable", "name"),
    [
        ("fx", "TOKEN", "FX_TOKEN"),
        ("my-notes", "api_key", "MY_NOTES_API_KEY"),
        ("github", "GITHUB_TOKEN", "GITHUB_TOKEN"),
        ("1st", "TOKEN", "OF_1ST_TOKEN"),
    ],
)
def test_name(server: str, variable: str, name: str) -> None:
    """A value is named by its server, unless the variable is."""
    assert names(server, {variable: "s3cret"}, {}) == {variable: name}


def test_taken() -> None:
    """A value of another server, or of the user, stays; a reference of this server is rotated."""
    there = {"FX_TOKEN": "other"}
    assert names("fx", {"TOKEN": "s3cret"}, there) == {"TOKEN": "FX_TOKEN"}
    assert names("fx", {"TOKEN": "s3cret"}, there, used="FX_TOKEN") == {"TOKEN": "FX_TOKEN_2"}
    assert names("fx", {"TOKEN": "other"}, there, used="FX_TOKEN") == {"TOKEN": "FX_TOKEN"}
    assert names("fy", {"TOKEN": "s3cret"}, {"FY_TOKEN": "x", "FY_TOKEN_2": "y"}) == {"TOKEN": "FY_TOKEN_3"}
    both = names("fx", {"FX_TOKEN": "one-secret", "TOKEN": "two-secret"}, {})
    assert both == {"FX_TOKEN": "FX_TOKEN", "TOKEN": "FX_TOKEN_2"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LANGUAGE", "de"),
        ("TOKEN", ""),
        ("TOKEN", "${OTHER}"),
        ("TOKEN", "${keyring:github/me}"),
        ("TOKEN_URL", "https://example.com/token"),
    ],
)
def test_plain(name: str, text: str) -> None:
    """A value that is no secret, or refers to one, stays in the entry."""
    found = kept("fx", {name: text}, {}, {}, ValueOwners())
    assert (found.texts, found.values) == ({name: text}, {})


def test_escaped() -> None:
    """A literal value with the characters of a reference is kept as it is meant."""
    found = kept("fx", {"TOKEN": escaped("${HOME}")}, {}, {}, lambda _: False)
    assert found.values == {"FX_TOKEN": "${HOME}"}


def test_left() -> None:
    """A value that was written for the server, and that no entry refers to any more, gives way to the next."""
    left = ValueOwners(written={"FX_TOKEN": "fx"})
    there = {"FX_TOKEN": "old-secret"}
    assert kept("fx", {"TOKEN": "s3cret"}, {}, there, left).values == {"FX_TOKEN": "s3cret"}
    used = ValueOwners(written={"FX_TOKEN": "fx"}, references={"fx": "${FX_TOKEN}"})
    assert kept("fx", {"OTHER": "a", "TOKEN": "s3cret"}, {}, there, used).values == {"FX_TOKEN_2": "s3cret"}
    assert (left.left_by("fx"), left.other("FX_TOKEN", "fy")) == (("FX_TOKEN",), "fx")


def test_owners(tmp_path: Path) -> None:
    """The comment above a value says which server it was written for; the user's own values have none."""
    file = tmp_path / ".env"
    file.write_text('MINE="1"\n# for the server m2\nM2_TOKEN="2"\nBELOW="3"\n')
    assert owners(str(file), {}).written == {"M2_TOKEN": "m2"}
    assert owners(str(tmp_path / "none"), {}).written == {}


@pytest.mark.parametrize(
    ("header", "text", "kept_text", "name"),
    [
        ("Authorization", "Bearer s3cret", "Bearer ${FX_AUTHORIZATION}", "FX_AUTHORIZATION"),
        ("authorization", "s3cret", "${FX_AUTHORIZATION}", "FX_AUTHORIZATION"),
        ("X-Api-Key", "s3cret", "${FX_X_API_KEY}", "FX_X_API_KEY"),
        ("FX-Token", "s3cret", "${FX_TOKEN}", "FX_TOKEN"),
    ],
)
def test_header(header: str, text: str, kept_text: str, name: str) -> None:
    """The value of a header is kept as that of a variable; its scheme stays in the entry, and a rotation in place."""
    found = kept("fx", {header: text}, {}, {}, ValueOwners(), of_header)
    assert (found.texts, found.values) == ({header: kept_text}, {name: "s3cret"})
    newer = kept("fx", {header: "Bearer n3w"}, found.texts, found.values, ValueOwners(), of_header)
    assert (newer.texts, newer.values) == ({header: f"Bearer ${{{name}}}"}, {name: "n3w"})


@pytest.mark.parametrize(("header", "text"), [("X-Team", "blue"), ("Authorization", "Bearer ${KEY}")])
def test_plain_header(header: str, text: str) -> None:
    """A header that is no secret, or refers to one, stays in the entry."""
    assert kept("fx", {header: text}, {}, {}, ValueOwners(), of_header).values == {}
