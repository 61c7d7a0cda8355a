"""Secrets of a program's environment are told from its other variables, and left out of what is shown."""

from __future__ import annotations

import pytest

from mcpgateway.rules.secrecy import secrets_in, without


class SecrecyTests:
    """What a program says is shown without the secrets it was given."""

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("GITHUB_TOKEN", "short"),
            ("DB_PASSWORD", "correct horse"),
            ("OPENAI_KEY", "sk-proj-0123456789abcdef"),
            ("DATABASE_URL", "postgres://me:s3cret@db.example/shop"),
        ],
    )
    def test_hidden(self, name: str, value: str) -> None:
        """What has the name or the look of a secret is left out."""
        said = f"cannot log in with {value}!".encode()
        assert without(said, secrets_in({name: value})) == "cannot log in with •••!".encode()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("PATH", "/usr/local/bin:/usr/bin:/opt/python3.11/bin"),
            ("NODE_ENV", "production"),
            ("BASE_URL", "http://localhost:8080/api/v1"),
            ("HOME", "/home/me0123456789abcdef"),
            ("API_TOKEN", ""),
            ("TOKENS", "100"),
        ],
    )
    def test_shown(self, name: str, value: str) -> None:
        """Directories, words and addresses, without which an error says nothing, are shown."""
        assert secrets_in({name: value}) == ()

    def test_lines(self) -> None:
        """Of a secret with several lines each is left out, and of two the one that holds the other is first."""
        hidden = secrets_in({"PRIVATE_KEY": "begin\nMIIEvQ\n", "A_TOKEN": "MIIEvQIBADAN"})
        assert hidden == ("MIIEvQIBADAN", "MIIEvQ", "begin")
        assert without(b"MIIEvQIBADAN MIIEvQ", hidden) == "••• •••".encode()
