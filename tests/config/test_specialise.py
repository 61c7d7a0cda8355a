"""Servers built again for a workspace."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.config.entry import Entry, Origin, Scope
from mcpgateway.config.environment import FULL
from mcpgateway.config.merge import Blueprint, WorkspaceSpec, specialise
from mcpgateway.config.model import Project
from mcpgateway.config.resolve import World
from mcpgateway.errors import ConfigError
from tests.support.configurations import HOME, read

LOGIN = {"HOME": HOME, "PATH": "/bin", "LEVEL": "system", "GOPATH": "/go"}


def blueprint(variables=None, profiles=None, name="x", **keys):
    """Read one server of ours and return what it is built from."""
    value = {"gateway": {}, "servers": {"x": {"command": "c", **keys}}, "profiles": profiles or {}}
    found, problems = read(json.dumps(value), "/g/config.json", World(LOGIN, variables or {}, HOME))
    assert found, [str(each) for each in problems]
    return found.blueprints[name]


def spec(path="/w/a", profiles=(), **variables):
    """Make a workspace."""
    return WorkspaceSpec(path, variables, profiles)


class ValuesTests:
    def test_order(self):
        """A workspace's .env goes before the home's, that before a profile, and that before the system."""
        profiles = {"one": {"env": {"LEVEL": "one", "B": "b1"}}, "two": {"env": {"LEVEL": "two"}}}
        keys = {"env": {"L": "${LEVEL}", "B": "${B:-none}"}, "env_policy": "full"}
        bare = blueprint(profiles=profiles, **keys)
        assert specialise(bare, spec()).env["L"] == "system"
        found = specialise(bare, spec(profiles=("one", "two"))).env
        assert (found["L"], found["B"]) == ("two", "b1")
        home = blueprint({"LEVEL": "home"}, profiles, **keys)
        assert specialise(home, spec(profiles=("one",))).env["L"] == "home"
        assert specialise(home, spec(profiles=("one",), LEVEL="workspace")).env["L"] == "workspace"

    def test_system(self):
        """A short list of the system's variables is a source, unless the policy lifts it."""
        keys = {"env": {"L": "${LEVEL}", "G": "${GOPATH}"}}
        assert specialise(blueprint(**keys), spec()).env["L"] == ""
        assert specialise(blueprint(**keys), spec()).env["G"] == "/go"
        assert specialise(blueprint(env_policy="full", **keys), spec()).env["L"] == "system"

    def test_profile_that_defines_it(self):
        """A server of a profile has its values, and in a workspace with profiles theirs."""
        profiles = {
            "one": {"servers": {"p": {"command": "p", "args": ["${A}"]}}, "env": {"A": "1"}},
            "two": {"env": {"A": "2"}},
        }
        found = blueprint(profiles=profiles, name="p")
        assert specialise(found, spec()).command == ("p", "1")
        assert specialise(found, spec(profiles=("two",))).command == ("p", "2")

    def test_profile_of_variables(self):
        """A value of a profile may use values of the levels around it."""
        found = blueprint(profiles={"one": {"env": {"A": "<${B}>"}}}, args=["${A}"])
        assert specialise(found, spec(profiles=("one",), B="b")).command == ("c", "<b>")

    def test_not_handed_on(self):
        """A variable of a workspace's .env reaches a server only where its entry asks for it."""
        found = specialise(blueprint(env={"A": "${A}"}), spec(A="a", B="hunter2"))
        assert found.env["A"] == "a"
        assert "B" not in found.env

    def test_everywhere(self):
        """URLs behind their host, and headers, have values of the workspace, too."""
        value = {"servers": {"x": {"url": "https://h/${H}", "headers": {"K": "${K}"}, "share": "credential"}}}
        found, problems = read(json.dumps(value), "/g/c.json")
        assert problems == []
        made = specialise(found.blueprints["x"], spec(H="t", K="k")).reach
        assert (made.url, made.headers) == ("https://h/t", {"K": "k"})

    @pytest.mark.parametrize("share", ["workspace", "credential", "isolated"])
    def test_missing_until_then(self, share):
        """A variable that only a workspace can have is missing in a workspace without it, and not before."""
        found = blueprint(share=share, env={"A": "${A:?say it}", "B": "${B}"}, args=["${C}"])
        with pytest.raises(ConfigError, match="A: say it"):
            specialise(found, spec())
        assert specialise(found, spec(A="a")).env["A"] == "a"

    @pytest.mark.parametrize("share", ["workspace", "credential", "isolated"])
    def test_demanded_where_there_is_no_workspace(self, share):
        """A variable that a workspace may have is missing where there is no workspace."""
        with pytest.raises(ConfigError, match="A: say it"):
            specialise(blueprint(share=share, args=["${A:?say it}"]), spec(""))

    def test_broken(self):
        """A value that holds a line break is refused, without being shown."""
        with pytest.raises(ConfigError) as caught:
            specialise(blueprint(env={"A": "${A}"}), spec(A="hunter2\n"))
        assert str(caught.value) == "/g/config.json: x.env.A: the variable A holds a line break or a NUL"


class HandedOnTests:
    """The variables that a child gets although its entry does not name them: all four levels, in their order."""

    FULL = {"env_policy": "full"}
    PROFILES = {"one": {"env": {"LEVEL": "profile", "OF": "${LEVEL}"}}}

    @pytest.mark.parametrize("share", ["workspace", "credential", "session", "isolated"])
    def test_order(self, share):
        """A variable has the value of the highest level that has it, with no word of it in the entry."""
        bare = blueprint(profiles=self.PROFILES, share=share, **self.FULL)
        assert specialise(bare, spec()).env["LEVEL"] == "system"
        assert specialise(bare, spec(profiles=("one",))).env["LEVEL"] == "profile"
        home = blueprint({"LEVEL": "home"}, self.PROFILES, share=share, **self.FULL)
        assert specialise(home, spec(profiles=("one",))).env["LEVEL"] == "home"
        workspace = specialise(home, spec(profiles=("one",), LEVEL="workspace", ONLY="there")).env
        assert (workspace["LEVEL"], workspace["ONLY"], workspace["OF"]) == ("workspace", "there", "workspace")
        named = blueprint({"LEVEL": "home"}, share=share, env={"LEVEL": "entry"}, **self.FULL)
        assert specialise(named, spec(LEVEL="workspace")).env["LEVEL"] == "entry"

    def test_where_no_workspace_is_known(self):
        """Without a workspace the gateway's own values and the profile's still go before the system's."""
        value = {"profiles": {"one": {"servers": {"x": {"command": "c"}}, "env": {"LEVEL": "profile"}}}}
        for variables, level in (({}, "profile"), ({"LEVEL": "home"}, "home")):
            found, problems = read(json.dumps(value), "/g/c.json", World(LOGIN, variables, HOME))
            assert found, problems
            assert found.servers[0].env["LEVEL"] == level

    def test_of_the_list_only(self):
        """Where a server is given a few variables only, these have the values of the levels, and no others come."""
        found = specialise(
            blueprint({"LANG": "C", "SECRET": "hunter2"}, share="workspace"), spec(LANG="de_DE.UTF-8", B="b")
        )
        assert found.env["LANG"] == "de_DE.UTF-8"
        assert not {"SECRET", "B"} & found.env.keys()

    def test_not_the_gateways_own(self):
        """The gateway's own settings and secrets are no server's, wherever they stand."""
        found = blueprint({"MCP_GATEWAY_AUTH_TOKEN": "hunter2"}, **self.FULL)
        env = specialise(found, spec(MCPGATEWAY_HOME="x")).env
        assert not {"MCP_GATEWAY_AUTH_TOKEN", "MCPGATEWAY_HOME"} & env.keys()

    @pytest.mark.parametrize(
        "name", ["PATH", "NODE_OPTIONS", "LD_PRELOAD", "HOME", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE"]
    )
    def test_what_a_directory_has_no_say_in(self, name):
        """A directory does not decide which program runs and whom it reaches, nor does a profile that quotes it."""
        profiles = {"one": {"env": {name: "${TOOL:-own}"}}}
        evil = specialise(blueprint(share="workspace", **self.FULL), spec(**{name: "evil"})).env
        assert evil.get(name) == LOGIN.get(name)
        found = blueprint(profiles=profiles, share="workspace", **self.FULL)
        assert specialise(found, spec(profiles=("one",), TOOL="evil")).env[name] == "own"
        own = blueprint({name: "mine"}, share="workspace", **self.FULL)
        assert specialise(own, spec(**{name: "evil"})).env[name] == "mine"

    def test_credential(self):
        """Every value of the three levels above the system tells credentials apart, and none of the system's does."""
        found = blueprint(profiles=self.PROFILES, share="credential", **self.FULL)
        digests = [
            specialise(found, each).credential
            for each in (
                spec("/a", T="1"),
                spec("/b", T="1"),
                spec("/b", T="2"),
                spec("/b", T="1", profiles=("one",)),
            )
        ]
        assert digests[0] == digests[1]
        assert len(set(digests)) == 3
        home = blueprint({"T": "1"}, self.PROFILES, share="credential", **self.FULL)
        assert specialise(home, spec("/a")).credential == digests[0]

    def test_matters_where_it_works(self):
        """A server with the policy ``full`` may differ in each workspace; one with a list does not, nor one without
        a process.
        """
        assert blueprint(**self.FULL).takes_values
        assert not blueprint().takes_values
        assert not blueprint(command=None, url="https://h/", **self.FULL).takes_values

    def test_a_clients_own_file(self):
        """A server of a client's own file is given what that client would give it."""
        origin = Origin(Scope.USER, "w", "/d", env_policy=FULL)
        entry = Entry(title="x", argv=("c",), origin=origin, env_policy=FULL)
        found = specialise(Blueprint("x", entry, World(LOGIN, {"LEVEL": "home"}, HOME)), spec(LEVEL="w"))
        assert found.env["LEVEL"] == "system"


class PlaceTests:
    def test_directory(self):
        """A server of one workspace runs in its root, unless its entry names a directory; one of several does not."""
        assert specialise(blueprint(share="workspace"), spec("/w/a")).cwd == "/w/a"
        assert specialise(blueprint(share="credential"), spec("/w/a")).cwd == HOME
        assert specialise(blueprint(cwd="/c"), spec("/w/a")).cwd == "/c"
        assert specialise(blueprint(cwd="${workspace}/sub"), spec("/w/a")).cwd == "/w/a/sub"

    def test_root(self):
        """The root stands where an entry names it, under both names, whatever an .env says."""
        found = blueprint(args=["${workspace}", "${workspaceFolder}", "{env:workspace}"], share="workspace")
        assert specialise(found, spec("/w/a", workspace="x")).command == ("c", "/w/a", "/w/a", "/w/a")
        assert specialise(found, spec("/w/a")).workspace == "/w/a"

    def test_code_graph(self):
        """Which project of a code graph is meant is found out with each call."""
        found = specialise(blueprint(projects=[{"name": "p", "path": "/p"}]), spec("/w/a"))
        assert found.inject == {"projectPath": "${project}"}
        assert (found.projects, found.default_project) == ((Project("p", "/p"),), "p")

    def test_told_later(self):
        """Values that each call has are left to the calls, all others are filled in."""
        found = blueprint(inject_args={"a": "${workspace}/x", "b": "${T:-t}", "c": "${cwd}"})
        wanted = {"a": "${workspace}/x", "b": "t", "c": "${cwd}"}
        assert specialise(found, spec("/w/a")).inject == wanted
        assert specialise(found, spec("")).inject == wanted

    @pytest.mark.parametrize(
        "entry",
        [
            {"command": "${TOOL:-safe}"},
            {"env": {"NODE_OPTIONS": "${TOOL:-}"}},
            {"env": {"PATH": "${TOOL:-}"}},
            {"command": None, "url": "${TOOL:-https://h/}"},
            {"command": None, "docker": "${TOOL:-image}"},
        ],
    )
    def test_what_runs(self, entry):
        """A checked out directory does not decide which program runs, and where."""
        found = blueprint(share="workspace", **entry)
        assert specialise(found, spec("/w/a")).workspace == "/w/a"
        with pytest.raises(ConfigError, match=r"/w/a/\.env, which must not decide"):
            specialise(found, spec("/w/a", TOOL="/w/a/evil"))
        assert "evil" in specialise(blueprint(share="workspace", args=["${TOOL}"]), spec(TOOL="evil")).command

    def test_same_otherwise(self):
        """The rest of a server does not depend on the workspace."""
        found = blueprint(share="session", timeout=3, replicas=2)
        made = specialise(found, spec())
        assert (made.name, made.share.value, made.timeout_s, made.replicas) == ("x", "session", 3, 2)


class CredentialTests:
    def test_equal_and_different(self):
        """Two workspaces with one token have one credential, with two tokens two."""
        found = blueprint(env={"T": "${T}"})
        digests = [
            specialise(found, each).credential
            for each in (spec("/a", T="1"), spec("/b", T="1"), spec("/a", T="2"))
        ]
        assert digests[0] == digests[1] != digests[2]
        assert len(digests[0]) == 64

    def test_credential_behind_a_name(self):
        """A variable of the entry does not hide a value of the same name that is used elsewhere."""
        found = blueprint(share="credential", args=["--token", "${T}"], env={"T": "fixed"})
        one, other = (specialise(found, spec(T=each)).credential for each in ("1", "2"))
        assert one != other

    def test_credential_of_defaults(self):
        """A value that is a default in one place and not in another is two."""
        found = blueprint(share="credential", args=["${T:-a}", "${T:-b}"])
        one, other = (specialise(found, each).credential for each in (spec(T="b"), spec()))
        assert one != other

    @pytest.mark.parametrize(
        "keys",
        [
            {"command": ["c", "${T}"]},
            {"args": ["--token={env:T}"]},
            {"env": {"A": "${T:-none}"}},
            {"cwd": "/x/${T}"},
            {"command": "c", "port": 1, "path": "/${T}"},
            {"docker": {"image": "i:${T}"}},
            {"docker": {"image": "i", "options": ["${T}"]}},
            {"inject_args": {"a": "${T}"}},
        ],
    )
    def test_wherever(self, keys):
        """A variable counts wherever an entry refers to it."""
        found = blueprint(**keys)
        one, other = (specialise(found, spec(T=each)).credential for each in ("1", "2"))
        assert one != other

    @pytest.mark.parametrize(
        "keys",
        [
            {"url": "http://h/${T}"},
            {"url": "http://h/", "headers": {"A": "${T}"}},
            {"url": "http://h/", "auth": {"token": "${T}"}},
            {"url": "http://h/", "oauth": {"client_id": "${T}"}},
            {"rest_url": "http://h/${T}"},
        ],
    )
    def test_wherever_in_urls(self, keys):
        """The credential of a server without a program depends on the values in its URL and headers."""
        found, _ = read(json.dumps({"servers": {"x": keys}}), "/g/c.json")
        one, other = (specialise(found.blueprints["x"], spec(T=each)).credential for each in ("1", "2"))
        assert one != other

    def test_of_no_account(self):
        """A variable that an entry does not refer to is of no account."""
        found = blueprint(env={"A": "${T}"})
        assert (
            specialise(found, spec(T="1", U="1")).credential
            == specialise(found, spec(T="1", U="2")).credential
        )

    def test_literal(self):
        """A value that is written into an entry counts."""
        assert blueprint(env={"A": "1"}) != blueprint(env={"A": "2"})
        one, other = (specialise(blueprint(env={"A": each}), spec()).credential for each in "12")
        assert one != other

    @given(
        st.dictionaries(
            st.sampled_from("ABC"), st.text(st.characters(codec="utf-8", categories=("L", "N")), max_size=3)
        )
    )
    def test_never_shown(self, values):
        """Two sets of values have one digest only if they are one set, and no set is to be seen."""
        found = blueprint(env={name: f"${{{name}}}" for name in "ABC"})
        one = specialise(found, spec(**values))
        other = specialise(found, spec(**{**values, "A": values.get("A", "") + "x"}))
        assert one.credential != other.credential
        assert one.credential == specialise(found, spec(**values)).credential
        assert one.credential not in repr(one)
