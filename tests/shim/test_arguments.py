"""The command line of the shim."""

import pytest

from mcpgateway.shim.arguments import Mistake, read


class ReadingTests:
    """The reading of a command line."""

    @pytest.mark.parametrize(
        "words", ["connect s", "proxy --target s", "proxy --target=s", "stdio --server s", "stdio --server=s"]
    )
    def test_the_server(self, words):
        """Every command names its server in its own way."""
        assert read(words.split()).server == "s"

    @pytest.mark.parametrize(
        ("words", "view"),
        [
            ("stdio", ""),
            ("--home /h stdio --patience 3", ""),
            ("stdio -- npx x", ""),
            ("stdio --view full", "full"),
            ("stdio --view=search -- npx x", "search"),
            ("stdio --view p/shop", "p/shop"),
        ],
    )
    def test_all_servers(self, words, view):
        """Where no server is named all are meant, and a view of them may be."""
        made = read(words.split())
        assert (made.server, made.view, made.says_ready) == ("", view, False)

    @pytest.mark.parametrize("words", ["stdio --ready-line --view full", "stdio --view full --ready-line"])
    def test_ready(self, words):
        """The shim may be asked to report that it is ready."""
        made = read(words.split())
        assert (made.view, made.says_ready) == ("full", True)

    def test_options(self):
        """Options stand anywhere before the original, whose own options are its own."""
        made = read(
            "--home /h connect --url=http://x s --token-file t --patience 2.5 -- npx -y --home x --".split()
        )
        assert (made.home, made.url, made.token_file, made.patience_s) == ("/h", "http://x", "t", 2.5)
        assert made.original == ["npx", "-y", "--home", "x", "--"]

    @pytest.mark.parametrize(
        "words", ["connect x --project /p -- y", "stdio --project=/p", "--project /p stdio"]
    )
    def test_project(self, words):
        """An entry of a project says of which."""
        assert read(words.split()).project == "/p"
        assert read(["stdio"]).project == ""

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
            "stdio a",
            "stdio --help",
            "stdio --server",
            "stdio --view",
            "stdio --view other",
            "stdio --view p/",
            "stdio --view p/a/b",
            "stdio --view full more",
            "stdio --server a --view full",
            "connect --view full",
            "proxy --ready-line",
            "connect a --home",
            "connect a --home -- x",
            "connect a --patience soon",
        ],
    )
    def test_mistakes(self, words):
        """A command line that cannot be understood is refused with a reason."""
        with pytest.raises(Mistake):
            read(words.split())
