"""Secrets of a program's environment are told from its other variables, and left out of what is shown."""

from __future__ import annotations

import pytest

from mcpgateway.policy.secrets.masking import holds_secret, secrets_of
from mcpgateway.policy.secrets.shapes import MASK, secrets_in, without


class SecrecyTests:
    """The output of a program, without the secrets that it was given."""

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("GITHUB_TOKEN", "short"),
            ("DB_PASSWORD", "correct horse"),
            ("DB_PASS", "correct horse"),
            ("GPG_PASSPHRASE", "battery staple"),
            ("ACCESS_KEY", "correcthorse"),
            ("SIGNING_KEY", "horse"),
            ("DB_PWD", "correct horse"),
            ("OPENAI_KEY", "sk-proj-0123456789abcdef"),
            ("DATABASE_URL", "postgres://me:s3cret@db.example/shop"),
        ],
    )
    def test_hidden(self, name: str, value: str) -> None:
        """A value with the name or the look of a secret is left out."""
        said = f"cannot log in with {value}!".encode()
        assert without(said, secrets_in({name: value})) == f"cannot log in with {MASK}!".encode()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("PATH", "/usr/local/bin:/usr/bin:/opt/python3.11/bin"),
            ("NODE_ENV", "production"),
            ("BASE_URL", "http://localhost:8080/api/v1"),
            ("HOME", "/home/me0123456789abcdef"),
            ("API_TOKEN", ""),
            ("TOKENS", "100"),
            ("BYPASS", "localhost"),
            ("PRIMARY_KEY", "customer"),
            ("PWD", "/home/me/work"),
        ],
    )
    def test_shown(self, name: str, value: str) -> None:
        """Directories, words and addresses, without which an error says nothing, are shown."""
        assert secrets_in({name: value}) == ()

    def test_lines(self) -> None:
        """The lines of a secret are left out one by one, and of two secrets the longer one is first."""
        hidden = secrets_in({"PRIVATE_KEY": "begin\nMIIEvQ\n", "A_TOKEN": "MIIEvQIBADAN"})
        assert hidden == ("MIIEvQIBADAN", "MIIEvQ", "begin")
        assert without(b"MIIEvQIBADAN MIIEvQ", hidden) == f"{MASK} {MASK}".encode()


class ArgumentTests:
    """Secrets in the arguments of a program."""

    @pytest.mark.parametrize(
        ("words", "quoted"),
        [
            (("run", "--api-key=hunter22"), "hunter22"),
            (("run", "--token", "hunter22"), "hunter22"),
            (("run", "-H", "Authorization: Bearer hunter22"), "hunter22"),
            (("run", "-e", "DB_PASSWORD=hunter22"), "hunter22"),
            (("run", "ghp_0123456789abcdef"), "ghp_0123456789abcdef"),
            (("run", "postgres://me:hunter22@db/shop"), "hunter22"),
            (("run", "https://e.com/mcp?a=b&api_key=hunter%3D22"), "hunter=22"),
        ],
    )
    def test_a_program_quotes_them(self, words: tuple[str, ...], quoted: str) -> None:
        """A masked argument is left out of the program's output, too."""
        hidden = secrets_of({}, words)
        assert without(f"bad: {quoted}!".encode(), hidden) == f"bad: {MASK}!".encode()
        for each in words:
            assert quoted not in without(each.encode(), hidden).decode()

    def test_the_rest_is_said(self) -> None:
        """Other arguments stay."""
        assert secrets_of({}, ("run", "--port", "8080", "https://e.com/mcp", "/srv/data")) == ()

    @pytest.mark.parametrize(
        ("text", "is_one"),
        [
            ("ghp_0123456789abcdef", True),
            ("postgres://u:p@db/shop", True),
            ("https://e.com/mcp?api_key=abc", True),
            ("https://e.com/mcp?key=abc", True),
            ("https://e.com/mcp?key=${KEY}", False),
            ("postgres://u:${PW}@db/shop", False),
            ("https://e.com/mcp?project=abc", False),
            ("fast", False),
        ],
    )
    def test_looks(self, text: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table
        """A token, a password or a key in a URL is known by its look."""
        assert holds_secret(text) is is_one
