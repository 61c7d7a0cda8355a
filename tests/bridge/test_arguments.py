"""The command line of the shim."""

import pytest

from mcpgateway.bridge.arguments import Mistake, read


class ReadingTests:
    """What a command line says."""

    @pytest.mark.parametrize(
        "words", ["connect s", "proxy --target s", "proxy --target=s", "stdio --server s", "stdio --server=s"]
    )
    def test_the_server(self, words):
        """Each command names its server in its own way."""
        assert read(words.split()).server == "s"

    def test_options(self):
        """Options stand anywhere before the original, whose own options are its own."""
        made = read(
            "--home /h connect --url=http://x s --token-file t --patience 2.5 -- npx -y --home x --".split()
        )
        assert (made.home, made.url, made.token_file, made.patience_s) == ("/h", "http://x", "t", 2.5)
        assert made.original == ["npx", "-y", "--home", "x", "--"]

    @pytest.mark.parametrize(
        "words",
        [
            "",
            "frob",
            "connect",
            "connect -- npx",
            "connect -x",
            "connect a b",
            "proxy a",
            "proxy --target",
            "stdio --target a",
            "connect a --home",
            "connect a --home -- x",
            "connect a --patience soon",
        ],
    )
    def test_mistakes(self, words):
        """What cannot be understood is refused with a reason."""
        with pytest.raises(Mistake):
            read(words.split())
