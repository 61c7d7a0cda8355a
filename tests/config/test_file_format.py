"""Our own configuration files."""

import pytest

from mcpgateway.config.environment import EnvPolicy, Inherited
from mcpgateway.config.file_format import check_reach, is_client_file, read_native, read_servers
from mcpgateway.config.model import UNLIMITED, WRITES, Concurrency, Share
from mcpgateway.config.problems import Problems, Wrong
from mcpgateway.config.read import parse
from mcpgateway.config.surface import SearchFormat
from mcpgateway.errors import ConfigError


def read_all(*texts):
    """Read several files of ours, one over the other, with their servers and all that is wrong."""
    problems = Problems()
    documents = [
        parse(text, f"/g/{number}.yaml", flaws=problems, takes_list=True) for number, text in enumerate(texts)
    ]
    native = read_native(documents, problems)
    return native, read_servers(native, problems), problems


def read(*texts, warnings=None):
    """Read several files of ours, one over the other."""
    native, _, problems = read_all(*texts)
    if warnings is not None:
        warnings += problems.warnings
    for each in problems.errors:
        raise Wrong(each)
    return native


def entries(*texts, warnings=None):
    """Read the servers of several files of ours."""
    read(*texts, warnings=warnings)
    return read_all(*texts)[1]


def entry(text, warnings=None):
    """Read one server, whose keys are given."""
    return entries("servers:\n  x:\n    " + text.replace("\n", "\n    "), warnings=warnings)[0]


def problem(*texts):
    """Return what is wrong with a file."""
    with pytest.raises(ConfigError) as caught:
        entries(*texts)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class GatewayTests:
    def test_all(self):
        """Every key of the section that is served is read."""
        gateway = read(
            "gateway:\n  http_port: 0\n  bind_address: '::1'\n  listen: [unix:/x]\n  allow_remote: true\n"
            "  auth_mcp_transport: bearer-required\n  allowed_hosts: h\n  allowed_origins: [o]\n  drain_ms: 1500\n"
            "  limits: {body_bytes: 2048, rest_body_bytes: 4096, spawns: 2, servers: 3, sessions: 4,\n"
            "    handshake: 5s, stuck: 90s, reap: 2m, session_idle: 1h}\n"
        ).gateway
        assert (gateway.http_port, gateway.bind_address, gateway.listen) == (0, "::1", ("unix:/x",))
        assert (gateway.allow_remote, gateway.auth_mcp_transport) == (True, "bearer-required")
        assert (gateway.allowed_hosts, gateway.allowed_origins) == (("h",), ("o",))
        limits = gateway.limits
        assert (limits.body_bytes, limits.rest_body_bytes, limits.spawns) == (2048, 4096, 2)
        assert (limits.servers, limits.sessions, limits.drain_s) == (3, 4, 1.5)
        assert (limits.handshake_s, limits.stuck_s, limits.reap_s) == (5, 90, 120)
        assert limits.session_idle_s == 3600

    @pytest.mark.parametrize(
        "line",
        [
            *(
                "http_port: x",
                "http_port: 70000",
                "bind_address: example.org",
                "bind_address: 3",
                "allow_remote: 1",
            ),
            *(
                "auth_mcp_transport: open",
                "listen: {}",
                "limits: 3",
                "limits: {spawns: 0}",
                "limits: {handshake: 0}",
                "limits: {reap: 10ms}",
                "drain: abc",
                "env_policy: most",
            ),
        ],
    )
    def test_wrong(self, line):
        """A wrong value is an error with file, line and key."""
        assert problem(f"gateway:\n  {line}\n").startswith(
            "/g/0.yaml, line 2: gateway." + line.partition(":")[0]
        )

    def test_open_loopback(self):
        """The rights of programs in older gateways are a key of a section of its own, and an overlay has the last
        word.
        """
        opened = "compat: {open_loopback_admin: true}\n"
        assert read("gateway: {}\n").gateway.open_loopback_admin is False
        assert read(opened).gateway.open_loopback_admin is True
        assert read(opened, "gateway: {http_port: 1}\n").gateway.open_loopback_admin is True
        assert read(opened, "compat: {open_loopback_admin: false}\n").gateway.open_loopback_admin is False

    def test_further_ports(self):
        """The ports of older gateways are the gateway's, too."""
        assert read("compat: {ports: [8765, 3199]}\n").gateway.ports == (8765, 3199)
        assert "line 1: compat.ports" in problem("compat: {ports: [0]}\n")

    def test_not_a_mapping(self):
        """A section that is no mapping is an error."""
        assert "gateway: found text; expected a mapping" in problem("gateway: x\n")
        assert "servers: found text; expected a mapping" in problem("servers: x\n")

    def test_unknown_keys(self):
        """A key that is not known is a warning with its line and the nearest known key, on every level."""
        warnings = []
        entries(
            "gatway: {}\ngateway:\n  http_prt: 1\n  limits: {spwans: 1}\n"
            "servers:\n  x:\n    command: y\n    tiemout: 3\n    _note: fine\n_note: fine\n",
            warnings=warnings,
        )
        assert [each.partition(": ")[0] for each in warnings] == [
            f"/g/0.yaml, line {n}" for n in (1, 3, 4, 8)
        ]
        assert [each.rpartition("did you mean ")[2] for each in warnings] == [
            *("'gateway'?", "'http_port'?", "'spawns'?", "'timeout'?")
        ]

    def test_keys_of_later_releases(self):
        """Keys of the schema that are not served yet are no mistakes, and are only told where they say something."""
        warnings = []
        entries(
            "gateway: {ping_interval: 30s, tls_key_path: ''}\n"
            "clients: {adopt: ask}\nprofiles: {}\nworkspaces: {}\ncompat: {ports: [], errors: harshal}\n"
            "servers: {x: {command: y, protocol: auto, lazy: {enabled: true}}}\n",
            warnings=warnings,
        )
        assert warnings == ["/g/0.yaml, line 5: compat.errors: has no effect in this release"]

    def test_overlay(self):
        """A later file replaces single settings and whole servers."""
        texts = (
            "gateway: {http_port: 1, allow_remote: true}\nservers: {x: {command: a, args: [b]}, y: {command: c}}\n",
            "gateway: {http_port: 2}\nservers: {x: {command: d}}\n",
        )
        gateway = read(*texts).gateway
        assert (gateway.http_port, gateway.allow_remote) == (2, True)
        assert {each.title: each.argv for each in entries(*texts)} == {"x": ("d",), "y": ("c",)}

    def test_reach(self):
        """An address that others can reach needs a word that this is meant."""
        check_reach(read("gateway: {bind_address: 127.0.0.2}").gateway)
        check_reach(read("gateway: {bind_address: localhost}").gateway)
        check_reach(read("gateway: {bind_address: 0.0.0.0, allow_remote: true}").gateway)
        for address in ("0.0.0.0", "'::'", "192.0.2.1"):
            with pytest.raises(
                ConfigError, match=r"expected a loopback address, or gateway\.allow_remote: true"
            ):
                check_reach(read(f"gateway: {{bind_address: {address}}}").gateway)


class ConcurrencyTests:
    """The number of calls of a server that are under way at once."""

    @pytest.mark.parametrize(
        ("said", "read"),
        [
            ("1", Concurrency(1)),
            ("12", Concurrency(12)),
            ("writes", WRITES),
            ("none", UNLIMITED),
            ("auto", None),
            ("", None),
        ],
    )
    def test_read(self, said, read):
        """A number, only writes, any number, or nothing that is said."""
        warnings = []
        assert entry(f"command: x\nconcurrency: {said}", warnings).concurrency == read
        assert not warnings

    @pytest.mark.parametrize("said", ["0", "-1", "1001", "1.5", "many", "true", "'1'", "[1]"])
    def test_refused(self, said):
        """Anything else is a mistake that names the key, and what is allowed."""
        found = problem(f"servers: {{x: {{command: x, concurrency: {said}}}}}")
        assert "servers.x.concurrency" in found
        assert "auto, writes, none, or a whole number from 1 to 1000" in found

    def test_beside_replicas(self):
        """Several processes, and calls that are kept apart, contradict each other."""
        warnings = []
        entry("command: x\nconcurrency: writes\nreplicas: 3", warnings)
        assert len(warnings) == 1
        assert "servers.x.replicas: has no effect beside concurrency" in warnings[0]
        warnings = []
        entry("command: x\nconcurrency: none\nreplicas: 3", warnings)
        assert not warnings


class InstancesTests:
    """The keys that say where in a cluster a server runs."""

    def test_read(self):
        """One instance, and the labels of nodes; a server without them runs at each node."""
        found = entry("command: x\ninstances: one\non: [gpu, big]")
        assert (found.is_sole, found.on) == (True, ("gpu", "big"))
        found = entry("command: x")
        assert (found.is_sole, found.on) == (False, ())
        assert entry("command: x\non: gpu").on == ("gpu",)

    def test_refused(self):
        """No other number of instances is taken."""
        assert "servers.x.instances" in problem("servers: {x: {command: x, instances: 2}}")


class OursTests:
    def test_an_entry_with_an_original(self):
        """An entry with an original behind it serves the original's command."""
        found = entry("command: mcpgateway\nargs: [connect, a, --, npx, a]\nshare: session")
        assert (found.argv, found.share.value) == (("npx", "a"), "session")

    def test_an_entry_without_one(self):
        """An entry without an original leads back to the gateway, and is reported."""
        assert "starts the gateway itself" in problem(
            "servers:\n  a: {command: [mcpg, stdio, --server, a]}\n"
        )


class ServerTests:
    def test_command(self):
        """A program and its arguments come apart or in one list."""
        assert entry("command: npx\nargs: [-y, 1, true]").argv == ("npx", "-y", "1", "true")
        assert entry("command: [npx, -y]\nargs: [x]").argv == ("npx", "-y", "x")

    def test_environment(self):
        """Variables come as a mapping or a list, under either name."""
        assert entry("command: x\nenv: {A: 1}").env == {"A": "1"}
        assert entry("command: x\nenvironment: [A=1]").env == {"A": "1"}
        assert entry("command: x\nenvironment: {A: 1, B: 2}\nenv: {A: 3}").env == {"A": "3", "B": "2"}

    @pytest.mark.parametrize(
        ("word", "share"),
        [
            *(("auto", Share.AUTO), ("global", Share.GLOBAL), ("stateless", Share.GLOBAL)),
            *(("session", Share.SESSION), ("stateful", Share.SESSION), ("workspace", Share.WORKSPACE)),
            *(("credential", Share.CREDENTIAL), ("per-credential", Share.CREDENTIAL)),
            ("isolated", Share.ISOLATED),
        ],
    )
    def test_share(self, word, share):
        """All words for sharing are read, under both keys."""
        assert entry(f"command: x\nshare: {word}").share is share
        assert entry(f"command: x\nscope: {word}").share is share

    def test_timeout(self):
        """The time of a call is a duration, in seconds or milliseconds."""
        assert entry("command: x\ntimeout: 2m").timeout_s == 120
        assert entry("command: x\ntimeout_ms: 500").timeout_s == 0.5
        assert "timeout_s" not in entry("command: x").explicit

    def test_timeout_message(self):
        """The message says everything that is needed to mend it."""
        assert problem("servers:\n  x:\n    command: y\n    timeout: abc\n") == (
            "/g/0.yaml, line 4: servers.x.timeout: found 'abc';"
            " expected a duration such as 30s, 2m, 500ms or a number of seconds"
        )

    def test_interactive(self):
        """The right of a server to ask questions is configured, or found out."""
        assert entry("command: x\ninteractive: true").interactive is True
        assert entry("command: x\ninteractive: false").interactive is False
        assert entry("command: x\ninteractive: auto").interactive is None

    @pytest.mark.parametrize(
        "text",
        [
            *(
                "command: 3",
                "command: []",
                "command: ''",
                "command: x\nargs: y",
                "command: x\nargs: [[z]]",
            ),
            *(
                "command: x\nenv: y",
                "command: x\nshare: all",
                "command: x\nshare: [auto]",
                "command: x\ninteractive: 1",
            ),
            *(
                "command: x\nenabled: 1",
                "command: x\ncwd: 3",
                "command: x\nenv_policy: 3",
                "type: stdio",
            ),
        ],
    )
    def test_wrong(self, text):
        """A mistake in our own file is an error, never passed over."""
        keys = text.replace("\n", "\n    ")
        assert problem(f"servers:\n  x:\n    {keys}\n").startswith("/g/0.yaml, line ")

    def test_policy_of_names(self):
        """Which variables a server is given is a word, or a list of names with or without one."""

        def policy(said: str) -> EnvPolicy:
            return entry(f"command: x\nenv_policy: {said}").env_policy

        assert policy("minimal") == EnvPolicy(Inherited.MINIMAL)
        assert policy("[minimal, HTTPS_PROXY]") == EnvPolicy(Inherited.MINIMAL, ("HTTPS_PROXY",))
        assert policy("[SSH_AUTH_SOCK, AWS_*, -TZ]") == EnvPolicy(
            Inherited.LISTED, ("SSH_AUTH_SOCK", "AWS_*"), ("TZ",)
        )
        for wrong in ("[]", "SSH_AUTH_SOCK", "[full, minimal]", "[A B]", "['*']"):
            assert "expected minimal, allow-list, full" in problem(
                f"servers: {{x: {{command: y, env_policy: {wrong}}}}}\n"
            )

    def test_not_a_mapping(self):
        """A server that is no mapping is an error."""
        assert "servers.x: found text; expected a mapping" in problem("servers: {x: y}\n")

    def test_switched_off(self):
        """Servers that are switched off are kept as such."""
        found = entries(
            "servers: {x: {command: y, enabled: false}, z: {command: y, disabled: true}, u: {command: y}}\n"
        )
        assert [each.enabled for each in found] == [False, False, True]

    def test_policy(self):
        """The whole environment is given where a server or its file asks for it."""
        assert not entry("command: x").env_policy.is_full
        assert entry("command: x\nenv_policy: full").env_policy.is_full
        both = entries(
            "gateway: {env_policy: full}\nservers: {x: {command: y}, z: {command: y, env_policy: allow-list}}\n"
        )
        assert [each.env_policy.is_full for each in both] == [True, False]
        assert entries("env_policy: full\nmcpServers: {x: {command: y}}\n")[0].env_policy.is_full

    @pytest.mark.parametrize("more", ["workspaces: {w: {path: /w}}", "profiles: {p: {env: {A: b}}}"])
    def test_workspaces_lift_no_policy(self, more):
        """Servers of our own get no more of the environment because workspaces or profiles stand beside them."""
        assert not entries(f"servers: {{x: {{command: y}}}}\n{more}\n")[0].env_policy.is_full

    def test_flat(self):
        """A flat map of servers is read, with the environment that such files are used to."""
        warnings = []
        found = entries(
            "_note: hello\nx: {type: local, command: [a, b], environment: {T: '{env:T}'}, lazy: {enabled: true}}\n"
            "servers: {type: local, command: [c]}\n",
            warnings=warnings,
        )
        assert [(each.title, each.argv, each.env_policy.is_full) for each in found] == [
            *(("x", ("a", "b"), True), ("servers", ("c",), True))
        ]
        assert warnings == []

    def test_flat_searches(self):
        """Searches have all members where the file is a flat map, unless a file says otherwise."""
        flat, ours = "x: {type: local, command: [a]}\n", "gateway: {search_format: compact}\nservers: {}\n"
        found = [
            read(*texts).gateway.views.search_format
            for texts in ((flat,), (flat, ours), ("servers: {x: {command: y}}\n",))
        ]
        assert found == [SearchFormat.FULL, SearchFormat.COMPACT, SearchFormat.COMPACT]

    def test_nearly_flat(self):
        """A file with strange keys only is not taken for a flat map."""
        warnings = []
        assert entries("x: {description: y}\n", warnings=warnings) == ()
        assert len(warnings) == 1


class IsClientFileTests:
    @pytest.mark.parametrize(
        ("text", "answer"),
        [
            ("mcpServers: {x: {command: y}}", True),
            ("mcpServers: {x: {command: y}}\nnumStartups: 3\nprojects: {}", True),
            ("mcpServers: {x: {command: y}}\ngateway: {}", False),
            ("mcpServers: {x: {command: y, share: session}}", False),
            ("servers: {x: {command: y}}", False),
            ("mcpServers: []", False),
            ("x: {command: y}", False),
        ],
    )
    def test_told_apart(self, text, answer):
        """A client's own file has mcpServers and nothing that only we know."""
        assert is_client_file(parse(text, "/c.yaml")) is answer

    def test_list(self):
        """A list of daemons is no client's file."""
        assert not is_client_file(parse("- {name: a, command: b}", "/c.yaml", takes_list=True))


class McpCtlTests:
    """Files as mcp-gateway with mcp-ctl has them."""

    THEIRS = '{"gateway": {"http_port": 8765}, "servers": {"a__b": {"command": "/x", "env": ["A=1"]}}}'

    def wrong(self, text, file="/g/config.json"):
        """Return the problems of a file."""
        problems = Problems()
        read_native([parse(text, file)], problems)
        return [str(each) for each in problems.errors]

    def test_names(self):
        """A name that could not be told from a tool's is an error, as it is there, and another one is proposed."""
        (told,) = self.wrong(self.THEIRS)
        assert "servers.a__b" in told
        assert told.endswith("call it 'a_b'")
        assert self.wrong(self.THEIRS.replace("a__b", "a_b")) == []

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ('"command"', '"share": "session", "command"'),
            ('"http_port"', '"expose": "full", "http_port"'),
            ('"gateway"', '"profiles": {}, "gateway"'),
        ],
    )
    def test_ours(self, theirs, ours):
        """With a key that it does not know, a file is ours, where such a name is served."""
        assert self.wrong(self.THEIRS.replace(theirs, ours)) == []
        assert self.wrong(self.THEIRS, "/g/config.yaml") == []


class ProjectTests:
    """Projects, as older files of Klipide's gateway list them."""

    def test_names(self):
        """A list of names is understood; one without a directory is told, unless it has one elsewhere in the file."""
        warnings = []
        native = read("projects: [shop, blog]\nworkspaces: {blog: {path: /w/blog}}\n", warnings=warnings)
        assert {name: each.path for name, each in native.workspaces.items()} == {"blog": "/w/blog"}
        (told,) = warnings
        assert "projects[0]: the project 'shop' has no directory" in told
        assert "workspaces.shop.path" in told

    def test_listed(self):
        """Directories and whole projects may stand in the list, too."""
        native = read(
            "projects:\n- /w/blog/\n- {name: shop, path: /w/s, env: {A: b}, servers: {x: {command: y}}}\n"
        )
        assert {name: each.path for name, each in native.workspaces.items()} == {
            "blog": "/w/blog/",
            "shop": "/w/s",
        }
        assert native.profiles["shop"]["env"] == {"A": "b"}
        assert list(native.servers) == [("shop", "x")]

    def test_wrong(self):
        """A malformed project is an error."""
        assert "projects[1]" in problem("projects: [shop, 5]")
