"""Command lines of package runners: what is understood, and what is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.runners import HEADS, Age, take_apart

WORDS = st.sampled_from(
    "-y --yes -q -p --package --package=x --from --from=a==1 --with --spec --python 3.12 -c --call -- --json true"
    " pkg pkg@1.2.3 @a/b @a/b@^1 @a/b@latest python mcp-server-time==1.0 git+https://x/y ./x ../y /z a/b . -x=1"
    " --registry http://u:p@h/ $HOME ; name[extra]>=1 npm:x@1 sh exec".split()
) | st.text(max_size=12)
COMMANDS = st.sampled_from([*HEADS, ("/usr/bin/npx",), ("npm", "run"), ("uv", "run"), ("node",)])


TELLING = "python -I -c import importlib.metadata; print(importlib.metadata.version('b'))"
"""The program by which the environment of a package tells its version."""


class UnderstandingTests:
    """The package that each command line runs."""

    @pytest.mark.parametrize(
        ("line", "name", "version", "age", "binary", "args"),
        [
            ("npx -y pkg a -b", "pkg", "", Age.OPEN, "", "a -b"),
            ("npx pkg", "pkg", "", Age.OPEN, "", ""),
            ("/usr/bin/npx --yes -- @a/b@1.2.3 -- x", "@a/b", "1.2.3", Age.PINNED, "", "-- x"),
            ("npx -y @a/b@latest", "@a/b", "latest", Age.TAGGED, "", ""),
            ("npx -y @a/b@^1.2", "@a/b", "^1.2", Age.OPEN, "", ""),
            ("npx -y b@1", "b", "1", Age.OPEN, "", ""),
            ("npx -y b@v1", "b", "v1", Age.OPEN, "", ""),
            ("npx -y b@1.x", "b", "1.x", Age.OPEN, "", ""),
            ("npx -y -p @a/b@next b-server --x", "@a/b", "next", Age.TAGGED, "b-server", "--x"),
            ("npx --package=b b-server", "b", "", Age.OPEN, "b-server", ""),
            ("npx --registry http://r pkg", "pkg", "", Age.OPEN, "", ""),
            ("npm exec --yes -- b --port 1", "b", "", Age.OPEN, "", "--port 1"),
            ("npm exec b c -- --port 1", "b", "", Age.OPEN, "", "c --port 1"),
            ("npm x -p b -- b-server -v", "b", "", Age.OPEN, "b-server", "-v"),
            ("uvx mcp-server-time --tz UTC", "mcp-server-time", "", Age.OPEN, "mcp-server-time", "--tz UTC"),
            ("uvx m[cli]@1.2", "m", "1.2", Age.PINNED, "m", ""),
            ("uvx m@latest", "m", "latest", Age.TAGGED, "m", ""),
            ("uvx --from m==1.0.1 prog", "m", "==1.0.1", Age.PINNED, "prog", ""),
            ("uvx --from m>=1,<2 prog", "m", ">=1,<2", Age.OPEN, "prog", ""),
            ("uvx --from m==1.* prog", "m", "==1.*", Age.OPEN, "prog", ""),
            ("uvx --python 3.12 --with a --with b m", "m", "", Age.OPEN, "m", ""),
            ("uv tool run m -x", "m", "", Age.OPEN, "m", "-x"),
            ("pipx run m -x", "m", "", Age.OPEN, "m", "-x"),
            ("pipx run m==1.0", "m", "==1.0", Age.PINNED, "m", ""),
            ("pipx run --spec M_x prog", "M_x", "", Age.OPEN, "prog", ""),
            ("bunx @a/b x", "@a/b", "", Age.OPEN, "", "x"),
            ("bun x -p b@2.0.0 prog", "b", "2.0.0", Age.PINNED, "prog", ""),
        ],
    )
    def test_understood(self, line, name, version, age, binary, args):
        """The package, its version, its program and the server's own arguments are read from the line."""
        found = take_apart(tuple(line.split()))
        assert found is not None
        assert (found.package.name, found.package.version, found.package.age) == (name, version, age)
        assert (found.binary, " ".join(found.args)) == (binary, args)

    @pytest.mark.parametrize(
        "line",
        [
            "node x.js",
            "npm run x",
            "uv run x",
            "bun server.ts",
            "pipx install x",
            "npx",
            "npx -y",
            "npx -y --",
            "npx --unheard-of pkg",
            "npx -c pkg",
            "npx --call=pkg",
            "npx -p a -p b prog",
            "npx -p a --package=b prog",
            "npx -p",
            "npx -p -y prog",
            "npx --package= prog",
            "npx -w workspace pkg",
            "npx --no-install pkg",
            "npx --yes=false pkg",
            "npx -y true pkg",
            "npx --node-options=--inspect pkg",
            "npx --script-shell bash pkg",
            "npx --prefix /x pkg",
            "npx .",
            "npx ./local",
            "npx /abs/dir",
            "npx user/repo",
            "npx github:user/repo",
            "npx git+https://x/y.git",
            "npx https://x/y.tgz",
            "npx npm:b@1",
            "npx b@npm:c@1",
            "npx b@file:../x",
            "npx b;rm",
            "npx $(x)",
            "npx -p b ./prog",
            "npx -- -b",
            "npx -p b -- -b",
            "npx -p b 'a b'",
            "npm exec b --port 1",
            "npm exec b x -y -- z",
            "uvx python",
            "uvx python3.12",
            "uvx --from git+https://x/y prog",
            "uvx --from . prog",
            "uvx --from ./x.whl prog",
            "uvx ./x.py",
            "uvx https://x/y.py",
            "uvx m==1.0",
            "uvx --with-editable . m",
            "uvx --directory /x m",
            "uvx --env-file .env m",
            "uvx m@next",
            "uvx --no-cache m",
            "uvx --refresh m",
            "uvx m@git+https://x",
            "uv --directory x tool run m",
            "pipx run --path x.py",
            "pipx run Mixed_Case",
            "pipx run --no-cache m",
            "pipx run -- m",
            "pipx run https://x/y.py",
            "bunx --bun b",
            "bunx -- b",
        ],
    )
    def test_doubtful(self, line):
        """A command line that is not understood for certain is left as it is written."""
        assert take_apart(tuple(line.split())) is None

    @given(COMMANDS, st.lists(WORDS, max_size=8))
    def test_any_words(self, head, words):
        """No command line is too odd; what is understood is still there, word for word."""
        argv = (*head, *words)
        found = take_apart(argv)
        if found is not None:
            assert found.words == argv
            assert argv[: len(found.head)] == found.head
            assert set(found.args) <= set(found.rest)
            assert found.package.name
            assert not found.package.name.startswith("-")

    def test_no_secret_is_shown(self):
        """The printed form of a command line shows neither an index with a password nor an argument."""
        found = take_apart(("uvx", "--index-url", "https://u:hush@h/", "m", "--token", "hush"))
        assert "hush" not in repr(found)


class AskingTests:
    """The commands that are made of them."""

    @pytest.mark.parametrize(
        ("line", "asked"),
        [
            ("npx -y b x", "npx -y b"),
            ("npm exec -- b x", "npm exec -- b"),
            ("uvx -q b x", "uvx -q --from b /probe"),
            ("uvx -q -- b@1 x", "uvx -q --from b@1 -- /probe"),
            ("uvx --from b prog x", "uvx --from b /probe"),
            ("bunx b@1 x", "bunx -p b@1 /probe"),
            ("bun x -p b prog x", "bun x -p b /probe"),
            ("pipx run b x", "pipx run --spec b python -I /probe.py"),
            ("pipx run --spec b prog x", "pipx run --spec b python -I /probe.py"),
        ],
    )
    def test_probing(self, line, asked):
        """The runner is given its own words, without the server's arguments, and the probe for a program."""
        found = take_apart(tuple(line.split()))
        assert " ".join(found.probing("/probe", "/probe.py", ("-I",))) == asked

    @pytest.mark.parametrize(
        ("line", "pinned"),
        [
            ("npx -y @a/b@^1 x", "npx -y @a/b@1.5.0 x"),
            ("npx -p b@latest prog", "npx -p b@1.5.0 prog"),
            ("npx --package=b prog x", "npx --package=b@1.5.0 prog x"),
            ("bunx b", "bunx b@1.5.0"),
            ("uvx --from b[x]>=1 prog y", "uvx --from b[x]@1.5.0 prog y"),
            ("uvx b[x] y", "uvx b[x]@1.5.0 y"),
            ("pipx run --spec b[x] prog", "pipx run --spec b[x]==1.5.0 prog"),
        ],
    )
    def test_pinned(self, line, pinned):
        """Any entry can be asked for in one version."""
        assert " ".join(take_apart(tuple(line.split())).pinned("1.5.0").words) == pinned

    @pytest.mark.parametrize(
        ("line", "question"),
        [
            ("npx -y b", "npm view b@latest version dist-tags.latest --json"),
            (
                "/opt/npx -y --registry http://r --loglevel error -p b@^1 prog",
                "/opt/npm view b@^1 version dist-tags.latest --registry http://r --json",
            ),
            (
                "npm exec --prefer-offline -- b",
                "npm view b@latest version dist-tags.latest --prefer-offline --json",
            ),
            ("bunx --silent --registry=http://r @a/b@next", "bun info @a/b@next version --registry=http://r"),
            (
                "uvx --index http://r -- b[x]",
                f"uvx --refresh-package b --index http://r --from b[x] -- {TELLING}",
            ),
            ("uvx --from b>=1 prog", f"uvx --refresh-package b --from b>=1 {TELLING}"),
            ("pipx run -i http://r b", f"pipx run --no-cache -i http://r --spec b {TELLING}"),
        ],
    )
    def test_asking(self, line, question):
        """The newest version is asked for where the entry takes its package from."""
        assert " ".join(take_apart(tuple(line.split())).asking()) == question
