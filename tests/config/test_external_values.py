"""External values: those that come from outside of all files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.document import Document
from mcpgateway.config.expand import SOURCE, expand
from mcpgateway.config.external_values import command_of, service_of, unasked, wanted
from mcpgateway.config.file_format import read_native
from mcpgateway.config.problems import Problems

TEXTS = st.text(st.one_of(st.sampled_from("${}:-?cmd"), st.characters(codec="utf-8")))
WORDS = st.lists(st.one_of(TEXTS, st.sampled_from(("${cmd:", "${keyring:", "}", "a/b")))).map("".join)


def asked(**value):
    """Return the external values that a file of ours needs, and its problems."""
    document = Document("/c.yaml", value, len)
    problems = Problems()
    native = read_native([document], Problems())
    found = wanted(native, [document], problems)
    return [each.name for each in found], [str(each) for each in problems]


ALLOWED = {"secrets": {"allow_cmd": True}}


class WantedTests:
    def test_everywhere(self):
        """External values are found anywhere in servers, and in the values of profiles and workspaces."""
        server = {"command": ["x", "--token=${keyring:a/b}"], "env": {"T": "<${keyring:c/d}${cmd:one two}>"}}
        names, problems = asked(
            **ALLOWED,
            servers={"s": server},
            profiles={"p": {"env": {"T": "${keyring:e/f}"}, "servers": {"t": {"command": "${cmd:g}"}}}},
            projects={"w": {"path": "/w", "env": {"T": "${keyring:h/i}"}}},
        )
        assert sorted(names) == [
            "cmd:g",
            "cmd:one two",
            *(f"keyring:{each}" for each in ("a/b", "c/d", "e/f", "h/i")),
        ]
        assert problems == []

    def test_callers(self):
        """Keys and tokens of those who may call, where they have to be told apart; a problem names no token."""
        auth = {
            "enabled": True,
            "api_keys": ["${keyring:a/b}"],
            "project_tokens": {"pre${keyring:c/d}": "/w"},
        }
        names, problems = asked(settings={"security": {"auth": auth}})
        assert (sorted(names), problems) == (["keyring:a/b", "keyring:c/d"], [])
        assert asked(settings={"security": {"auth": {**auth, "enabled": False}}})[0] == []
        tokens = {"hunter2${cmd:x}": "/w"}
        _, problems = asked(settings={"security": {"auth": {"enabled": True, "project_tokens": tokens}}})
        (problem,) = problems
        assert "settings.security.auth.project_tokens: takes what a command prints" in problem
        assert "hunter2" not in problem

    def test_switched_off(self):
        """A server that is switched off, and a note, want nothing."""
        off = {"command": "x", "env": {"T": "${cmd:a}"}}
        names, problems = asked(
            servers={
                "a": {**off, "enabled": False},
                "b": {**off, "disabled": True},
                "_c": off,
                "d": {"command": "x", "_note": "${cmd:x}"},
            }
        )
        assert (names, problems) == ([], [])

    def test_not_allowed(self):
        """A command is an error that names file, line and key, and not the command; the keyring may always be asked."""
        names, problems = asked(
            servers={"s": {"command": "x", "env": {"T": "${cmd:pass hunter2}", "U": "${keyring:a/b}"}}}
        )
        assert names == ["keyring:a/b"]
        why = "takes what a command prints, and secrets.allow_cmd is off"
        hint = "set secrets.allow_cmd to true, in a file of the gateway's own"
        assert problems == [f"/c.yaml, line 4: servers.s.env.T: {why}; {hint}"]

    @pytest.mark.parametrize(
        "text", ["${cmd: }", "${cmd:'a}", "${cmd:''}", "${keyring:a}", "${keyring:/a}", "${keyring:a/}"]
    )
    def test_says_nothing(self, text):
        """A reference that names nothing is an error."""
        names, problems = asked(**ALLOWED, servers={"s": {"command": "x", "env": {"T": text}}})
        assert (names, len(problems)) == ([], 1)

    def test_words(self):
        """Words are a shell's, and nothing else is; a service may have slashes in its name."""
        assert command_of("cmd:op read 'op://a b/c' $HOME|x") == ("op", "read", "op://a b/c", "$HOME|x")
        assert service_of("keyring:https://x.example/y/ada") == ("https://x.example/y", "ada")

    @given(WORDS)
    def test_strangers(self, text):
        """A text of another owner's file asks for no external value, and keeps its meaning."""
        harmless = unasked(text)
        assert SOURCE.search(harmless) is None
        assert expand(harmless, {}, keep_unset=True).text == expand(text, {}, keep_unset=True).text


class ExpandTests:
    def test_sources(self):
        """A fetched value stands in its place, and is not expanded again."""
        found = expand("a${cmd:x y}b${keyring:s/n}", {"cmd:x y": "${HOME}", "keyring:s/n": "1", "HOME": "h"})
        assert (found.text, found.lacking) == ("a${HOME}b1", ())
        assert dict(found.used) == {"cmd:x y": "${HOME}", "keyring:s/n": "1"}

    def test_lacking(self):
        """A value that could not be fetched is named."""
        assert expand("a${cmd:x}", {}).lacking == ("cmd:x",)
        assert expand("a${cmd:x}", {}).text == "a"
        assert expand("a${cmd:x}", {}, keep_unset=True).text == "a${cmd:x}"

    def test_lines(self):
        """A value with a line break is broken, and is not shown; nor are the words of the command."""
        found = expand("${cmd:x hunter2}", {"cmd:x hunter2": "a\nb"})
        assert found.broken == ("${cmd:…}",)

    def test_variable(self):
        """A variable may have such a name, and a default."""
        assert expand("${cmd}${cmd:-d}${keyring:-e}", {"cmd": "c"}).text == "cce"
