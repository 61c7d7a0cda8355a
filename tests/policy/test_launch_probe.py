"""The probe of a package runner."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.launch_probe import (
    PROBE_MARK,
    Doubt,
    ProbeReport,
    RunnerEnvironment,
    binary_of,
    deciding,
    main_binary,
    newest,
    read_probe,
    surroundings,
)
from mcpgateway.policy.runners import Wrapper, take_apart
from mcpgateway.system.launch import probe

TOLD = {"argv": ["-c", "'prog'"], "env": {"PATH": "/x"}, "executable": "/p", "kib": 7}


class ReadingTests:
    """The probe's line."""

    def test_among_other_lines(self):
        """The probe's line is found among the other output of the runner."""
        seen = read_probe(f"installing\n{PROBE_MARK}{json.dumps(TOLD)}\nmore")
        assert seen == ProbeReport(("-c", "'prog'"), {"PATH": "/x"}, "/p", 7)

    def test_the_same_mark(self):
        """The probe, which imports nothing of ours, begins its line with the same mark."""
        assert probe.MARK == PROBE_MARK

    @pytest.mark.parametrize("output", ["", "x", PROBE_MARK, PROBE_MARK + "[]", PROBE_MARK + '{"argv": 1}'])
    def test_not_told(self, output):
        """Where nothing, or nothing sensible is told, the entry is doubtful."""
        with pytest.raises(Doubt):
            read_probe(output)

    @given(st.text())
    def test_anything(self, text):
        """No output is too odd."""
        with pytest.raises(Doubt):
            read_probe(PROBE_MARK + text)


class EnvironmentTests:
    """The changes that a runner makes in the environment."""

    BEFORE = {"PATH": "/usr/bin:/bin", "HOME": "/h", "PYTHONPATH": "/p"}

    def test_npm(self):
        """The variables of npm and its part of the PATH are taken over, its shell is not."""
        after = {
            **self.BEFORE,
            "PATH": "/c/.bin:/usr/bin:/bin",
            "npm_command": "exec",
            "NODE": "/n",
            "npm_config_script_shell": "/probe",
            "PWD": "/w",
            "LC_CTYPE": "C.UTF-8",
        }
        found = surroundings(Wrapper.NPM, self.BEFORE, after)
        assert found == RunnerEnvironment("/c/.bin:", {"npm_command": "exec", "NODE": "/n"}, ())
        assert found.applied({"PATH": "/mine", "KEY": "1"}) == {
            "PATH": "/c/.bin:/mine",
            "KEY": "1",
            "npm_command": "exec",
            "NODE": "/n",
        }

    def test_pipx_takes_away(self):
        """A variable that a runner removes is removed."""
        after = {"PATH": "/usr/bin:/bin", "HOME": "/h", "PIP_USER": "0"}
        found = surroundings(Wrapper.PIPX, self.BEFORE, after)
        assert found == RunnerEnvironment("", {"PIP_USER": "0"}, ("PYTHONPATH",))
        assert "PYTHONPATH" not in found.applied(self.BEFORE)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("npm_config_proxy", "http://me:hush@proxy/"),
            ("npm_config__authToken", "hush"),
            ("npm_config_otp", "hush"),
            ("npm_config_password", "hush"),
        ],
    )
    def test_secrets_are_left_out(self, name, value):
        """A value that may be a secret is not recorded."""
        found = surroundings(Wrapper.NPM, self.BEFORE, {**self.BEFORE, name: value})
        assert found.added == {}

    @pytest.mark.parametrize(
        "change",
        [
            {"PATH": "/elsewhere"},
            {"PATH": "/x/usr/bin:/bin"},
            {"NODE_OPTIONS": "--inspect"} | {"HOME": "/other"},
            {"LD_PRELOAD": "x"},
        ],
    )
    def test_doubtful(self, change):
        """A runner that does more than is understood is left to do it."""
        with pytest.raises(Doubt):
            surroundings(Wrapper.UV, self.BEFORE, {**self.BEFORE, **change})

    def test_taking_away_is_doubtful(self):
        """A runner that removes a variable unexpectedly is doubtful."""
        with pytest.raises(Doubt, match="PYTHONPATH"):
            surroundings(Wrapper.NPM, self.BEFORE, {"PATH": "/usr/bin:/bin", "HOME": "/h"})

    def test_no_path(self):
        """An environment without a PATH does not show the runner's changes to it."""
        with pytest.raises(Doubt):
            surroundings(Wrapper.NPM, {}, {})

    def test_deciding(self):
        """Variables that decide which program runs are told apart from those for the server."""
        env = {
            "npm_config_registry": "r",
            "NPM_CONFIG_PREFIX": "p",
            "API_TOKEN": "t",
            "HOME": "/h",
            "PATH": "x",
        }
        assert deciding(env) == [("HOME", "/h"), ("NPM_CONFIG_PREFIX", "p"), ("npm_config_registry", "r")]


class ProgramTests:
    """The program behind a runner."""

    @pytest.mark.parametrize("line", ["'prog'", '"prog"', "prog"])
    def test_npm_tells_its_shell(self, line):
        """npm's shell is given the name, quoted one way or another."""
        assert binary_of(take_apart(("npx", "b")), ProbeReport(("-c", line), {}, "", 0)) == "prog"

    @pytest.mark.parametrize("line", ["", "'", "prog; rm", "'a b'", "$(x)", "../x", "/bin/x"])
    def test_npm_tells_something_else(self, line):
        """A line for a shell that is not simply a name is doubtful."""
        with pytest.raises(Doubt):
            binary_of(take_apart(("npx", "b")), ProbeReport(("-c", line), {}, "", 0))

    def test_others_are_told(self):
        """Other runners run the program that their words name."""
        assert binary_of(take_apart(("uvx", "--from", "m", "prog")), ProbeReport((), {}, "", 0)) == "prog"

    @pytest.mark.parametrize(
        ("manifest", "name"),
        [
            ({"name": "@a/b", "bin": "x.js"}, "b"),
            ({"name": "@a/b", "bin": {"c": "x.js"}}, "c"),
            ({"name": "b", "bin": {"c": "x.js", "b": "y.js"}}, "b"),
        ],
    )
    def test_of_a_package(self, manifest, name):
        """A package's own program is its only one, or the one of its name."""
        assert main_binary(manifest) == name

    @pytest.mark.parametrize(
        "manifest",
        [{}, {"name": "b"}, {"name": "b", "bin": {"c": "", "d": ""}}, {"name": "b", "bin": {"../c": ""}}],
    )
    def test_of_no_package(self, manifest):
        """Where a package has none, or several, none is chosen."""
        with pytest.raises(Doubt):
            main_binary(manifest)


class NewestTests:
    """The newest version."""

    @pytest.mark.parametrize(
        ("output", "version"),
        [
            ('{"version": "1.2.3", "dist-tags.latest": "2.0.0"}', "1.2.3"),
            (
                '[{"version":"1.2.3","dist-tags.latest":"1.2.3"},{"version":"1.3.0","dist-tags.latest":"1.2.3"}]',
                "1.2.3",
            ),
            (
                '[{"version":"1.2.3","dist-tags.latest":"2.0.0"},{"version":"1.3.0","dist-tags.latest":"2.0.0"}]',
                "1.3.0",
            ),
        ],
    )
    def test_npm(self, output, version):
        """The newest version of npm within a range is the one tagged latest, or else the last."""
        assert newest(Wrapper.NPM, output) == version

    def test_bun(self):
        """The newest version of bun is printed as it is."""
        assert newest(Wrapper.BUN, "1.2.3-rc.1\n") == "1.2.3-rc.1"

    @pytest.mark.parametrize(
        "output", ["", "[]", "{}", "x", '{"version": "x", "dist-tags.latest": "y"}', "[1]"]
    )
    def test_garbage(self, output):
        """Anything else is doubtful."""
        for wrapper in (Wrapper.NPM, Wrapper.BUN):
            with pytest.raises(Doubt):
                newest(wrapper, output)
