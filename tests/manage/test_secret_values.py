"""Secrets of a server's variables, and their names in the file of values."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mcpgateway.config.expand import escaped
from mcpgateway.manage.secret_values import kept


def names(
    server: str, given: Mapping[str, str], there: Mapping[str, str], used: str = ""
) -> Mapping[str, str]:
    """The names in the file, of a server whose TOKEN refers to FX_TOKEN."""
    found = kept(server, given, {"TOKEN": "${FX_TOKEN}"}, there, lambda name: name == used)
    assert found.env.keys() == given.keys()
    assert all(found.env[each] == f"${{{own}}}" for each, own in found.names.items())
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
    found = kept("fx", {name: text}, {}, {}, lambda _: False)
    assert (found.env, found.values) == ({name: text}, {})


def test_escaped() -> None:
    """A literal value with the characters of a reference is kept as it is meant."""
    found = kept("fx", {"TOKEN": escaped("${HOME}")}, {}, {}, lambda _: False)
    assert found.values == {"FX_TOKEN": "${HOME}"}
