"""The ways to reach a server, in every form that is read."""

import json

import pytest

from mcpgateway.config.file_format import read_native
from mcpgateway.config.model import Lazy, Project, Share
from mcpgateway.config.problems import Problems
from mcpgateway.config.reach_settings import Container, Daemon, OAuth, Remote, Rest, Transport
from mcpgateway.config.read import parse
from tests.support.configurations import LOGIN, WORLD, read


def whole(value):
    """Read a configuration; return the servers by name, and the warnings."""
    found, problems = read(json.dumps(value), "/g/config.json")
    assert found, [str(each) for each in problems]
    return {each.name: each for each in found.servers}, found.warnings


def server(**keys):
    """Read one server."""
    return whole({"servers": {"x": keys}})[0]["x"]


def problem(**keys):
    """Return what is wrong with a server."""
    found, problems = read(json.dumps({"servers": {"x": keys}}), "/g/config.json")
    assert found is None
    return str(problems.errors[0])


class UrlTests:
    @pytest.mark.parametrize(
        ("keys", "transport"),
        [
            ({"url": "https://h/mcp"}, Transport.STREAMABLE_HTTP),
            ({"url": "https://h/x/sse"}, Transport.SSE),
            ({"url": "https://h/sse/?a=b"}, Transport.SSE),
            ({"url": "https://h/sse", "type": "http"}, Transport.STREAMABLE_HTTP),
            ({"url": "https://h/mcp", "transport": "sse"}, Transport.SSE),
            ({"url": "https://h/mcp", "type": "streamableHttp"}, Transport.STREAMABLE_HTTP),
            (
                {"type": "remote", "url": "https://h/", "transport": "streamable_http"},
                Transport.STREAMABLE_HTTP,
            ),
            ({"url": "WSS://h/mcp"}, Transport.WEBSOCKET),
            ({"url": "ws://h/mcp", "transport": "websocket"}, Transport.WEBSOCKET),
            ({"httpUrl": "http://h/"}, Transport.STREAMABLE_HTTP),
            ({"serverUrl": "http://h/"}, Transport.STREAMABLE_HTTP),
        ],
    )
    def test_transport(self, keys, transport):
        """The transport of a URL is configured, or seen from its form."""
        found = server(**keys)
        assert (found.reach.transport, found.command) == (transport, ())

    def test_all(self):
        """Every part of a URL's entry is read, and a token becomes a header."""
        found = server(
            url="https://h/",
            headers={"X-Key": " k\t", "X-Empty": ""},
            auth={"type": "bearer", "token": "t"},
            oauth={
                "clientId": "us",
                "clientSecret": "s",
                "scope": "a b",
                "authorizationServer": "https://a/",
            },
            ca_file="ca.pem",
            tls_verify=False,
        )
        assert found.reach == Remote(
            "https://h/",
            headers={"X-Key": "k", "Authorization": "Bearer t"},
            oauth=OAuth("us", "s", ("a", "b"), "https://a/"),
            ca_file="/g/ca.pem",
            insecure=True,
            is_guess=True,
        )
        assert not server(url="https://h/", type="http").reach.is_guess
        assert not server(url="https://h/sse").reach.is_guess
        assert server(url="https://h/", oauth=True).reach.oauth == OAuth()
        assert server(url="https://h/", oauth=False).reach.oauth is None

    def test_token_that_is_not_set(self):
        """A token whose variable is not set is not sent, and is told."""
        found, warnings = whole({"servers": {"x": {"url": "http://h/", "auth": {"token": "${T}"}}}})
        assert found["x"].reach.headers == {}
        assert "the variable T is not set" in warnings[0]

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            *(
                ("ftp://h/", "a URL that begins with"),
                ("http:///x", "and a host"),
                ("h:9/", "a URL that begins with"),
            ),
            *(
                ("http://h:99999/", "a URL"),
                ("http://[/", "a URL"),
                ("http://h/a b", "a URL"),
                ("${NOT}", "a URL"),
            ),
            ("http://me:hunter2@h/", "put the credentials into headers or auth"),
        ],
    )
    def test_wrong_url(self, url, words):
        """A URL that cannot be used is refused without being shown."""
        found = problem(url=url)
        assert found.startswith("/g/config.json, line 1: servers.x.url: ")
        assert words in found
        assert url not in found

    def test_scheme_and_transport(self):
        """A WebSocket is not reached over http, nor the other way round."""
        assert "ws://, wss://" in problem(url="http://h/", transport="websocket")
        assert "http://, https://" in problem(url="ws://h/", transport="sse")

    @pytest.mark.parametrize(
        "name",
        [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "connection",
            "UPGRADE",
            "te",
            "trailer",
            "a b",
            "",
            "ä",
        ],
    )
    def test_header_names(self, name):
        """Headers that frame or lead a message are refused, and names that are none."""
        assert "servers.x.headers" in problem(url="http://h/", headers={name: "hunter2"})

    @pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b", ["hunter2"]])
    def test_header_values(self, value):
        """A value that would end a header is refused, and never shown."""
        found = problem(url="http://h/", headers={"X-A": value})
        assert "servers.x.headers.X-A" in found
        assert "hunter2" not in found

    def test_two_tokens(self):
        """A token is said once."""
        found = problem(url="http://h/", headers={"authorization": "a"}, auth={"token": "b"})
        assert "either a token or a header Authorization" in found

    def test_both(self):
        """A program and a URL contradict each other."""
        assert "either a command or a url, not both" in problem(command="x", url="http://h/")
        assert "either docker or a url, not both" in problem(docker="x", url="http://h/")
        assert "or a command instead of the url" in problem(type="stdio", url="http://h/")

    def test_itself(self):
        """A URL of the gateway's own would go round in a circle."""
        assert "is the gateway's own" in problem(url="http://localhost:9100/x/mcp")


class DaemonTests:
    @pytest.mark.parametrize(
        ("keys", "url", "transport"),
        [
            ({}, "http://127.0.0.1:3100/mcp", Transport.STREAMABLE_HTTP),
            ({"transport": "http"}, "http://127.0.0.1:3100/mcp", Transport.STREAMABLE_HTTP),
            ({"transport": "streamable-http"}, "http://127.0.0.1:3100/mcp", Transport.STREAMABLE_HTTP),
            ({"transport": "sse"}, "http://127.0.0.1:3100/sse", Transport.SSE),
            ({"type": "sse", "path": "/s"}, "http://127.0.0.1:3100/s", Transport.SSE),
            ({"path": "m"}, "http://127.0.0.1:3100/m", Transport.STREAMABLE_HTTP),
            ({"url": "http://localhost:3100/x/sse"}, "http://localhost:3100/x/sse", Transport.SSE),
        ],
    )
    def test_read(self, keys, url, transport):
        """A program with a port is reached there, at the path of its transport."""
        found = server(command="m", args=["--port", "3100"], port=3100, **keys)
        assert (found.command, found.reach) == (("m", "--port", "3100"), Daemon(3100, url, transport))

    @pytest.mark.parametrize("form", ["array", "object", "top"])
    def test_list(self, form):
        """A list of daemons is read, with or without a level above it, and so is a mapping of them."""
        one = {"name": "mem", "command": "m", "args": ["a"], "port": 3100, "env": {"A": "b"}, "cwd": "/w"}
        value = {"array": {"daemons": [one]}, "object": {"daemons": {"mem": one}}, "top": [one]}[form]
        found = whole(value)[0]["mem"]
        assert (found.command, found.reach.port, found.env["A"], found.cwd) == (("m", "a"), 3100, "b", "/w")
        assert found.lazy == Lazy()

    def test_nameless(self):
        """A server of a list has a name of its own."""
        for value, line in (([{"command": "x"}], "[0].name"), ({"servers": [3]}, "servers[0]")):
            found, problems = read(json.dumps(value), "/g/config.json")
            assert found is None
            assert line in str(problems.errors[0])
        twice = [{"name": "a", "command": "x"}] * 2
        assert "no other server of the list has" in str(read(json.dumps(twice), "/g/c.json")[1].errors[0])

    def test_wrong(self):
        """A port is needed where a program serves at one, on this machine and not over a WebSocket."""
        assert "the port at which the program serves" in problem(command="x", transport="sse")
        assert "one of http, streamable-http, sse" in problem(command="x", port=1, transport="websocket")
        assert "one of this machine" in problem(command="x", port=1, url="http://h/mcp")


class ContainerTests:
    def test_image(self):
        """An image alone, or all about it, with what runs inside; variables are handed on by name only."""
        assert server(docker="i").reach == Container("i")
        found = server(
            docker={"image": "i", "engine": "podman", "options": ["--network", "none"]},
            args=["a"],
            env={"K": "v"},
        )
        assert found.reach == Container("i", "podman", ("--network", "none", "-e", "K"))
        assert (found.command, found.env["K"]) == (("a",), "v")
        assert server(docker={"image": "i", "command": "c", "args": ["d"]}).command == ("c", "d")

    def test_without_image(self):
        """A container without an image is none."""
        assert "docker.image: found nothing; expected the image" in problem(docker={"engine": "docker"})
        assert "docker.image" in problem(docker={"image": 3})

    @pytest.mark.parametrize(
        ("argv", "reach", "inside"),
        [
            (["docker", "run", "-i", "--rm", "i"], Container("i", "docker"), ()),
            (["/usr/bin/podman", "run", "i", "a", "-d"], Container("i", "/usr/bin/podman"), ("a", "-d")),
            (["docker", "container", "run", "--rm", "i"], Container("i", "docker"), ()),
            (
                [
                    "docker",
                    "run",
                    "--rm",
                    "-e",
                    "K",
                    "-v=/a:/b",
                    "-p80:80",
                    "--init",
                    "--name",
                    "n",
                    "i",
                    "x",
                ],
                Container("i", "docker", ("-e", "K", "-v=/a:/b", "-p80:80", "--init", "--name", "n")),
                ("x",),
            ),
        ],
    )
    def test_taken_apart(self, argv, reach, inside):
        """``docker run`` is taken apart where every word of it is known."""
        found = server(command=argv)
        assert (found.reach, found.command) == (reach, inside)

    @pytest.mark.parametrize(
        "argv",
        [
            ["docker", "run", "-d", "i"],
            ["docker", "run", "-it", "i"],
            ["docker", "run", "--detach", "i"],
            ["docker", "run", "--new-option", "i"],
            ["docker", "run", "--rm"],
            ["docker", "run", "-e"],
            ["docker", "exec", "-i", "c", "x"],
            ["docker", "--host", "h", "run", "i"],
            ["docker"],
            ["nerdctl", "run", "-i", "i"],
        ],
    )
    def test_left_alone(self, argv):
        """A command that is not surely a container's is run as it is written."""
        found = server(command=argv)
        assert (found.reach, found.command) == (None, tuple(argv))

    def test_one_text(self):
        """The command of a container may be one text, whose quotes are those of a shell."""
        found = server(command="docker run --rm -i -p 8080:8080 'my image' a")
        assert (found.reach, found.command) == (Container("my image", "docker", ("-p", "8080:8080")), ("a",))
        assert server(command="docker run 'x").command == ("docker run 'x",)
        assert server(command="dockerize run x").command == ("dockerize run x",)

    def test_with_url(self):
        """A container that serves at a port of its own is a program at that port."""
        found = server(
            command="docker run --rm -i -p 8080:8080 i", transport="docker", url="http://localhost:8080/mcp"
        )
        assert found.reach == Daemon(8080, "http://localhost:8080/mcp")
        assert found.command[:2] == ("docker", "run")
        for url in ("http://localhost/mcp", "http://localhost:99999/", "http://[/"):
            assert "port" in problem(command="docker run i", transport="docker", url=url)


class RestTests:
    def test_tools(self):
        """Requests become tools, whose arguments go where they are said to, or where they usually do."""
        schema = {"type": "object", "properties": {"id": {}, "q": {}, "X-A": {}}}
        found = server(
            rest_url="http://h/api",
            headers={"X-K": "v"},
            tools=[
                {"name": "get", "path": "/t/{id}", "schema": schema, "places": {"X-A": "header"}},
                {"name": "put", "method": "PUT", "path": "/t/{id}", "inputSchema": schema},
                {"name": "bare", "path": "/t/{a}/{b}"},
            ],
        ).reach
        assert (found.base, found.headers) == ("http://h/api", {"X-K": "v"})
        get, put, bare = found.tools
        assert get.places == {"id": "path", "q": "query", "X-A": "header"}
        assert put.places == {"id": "path", "q": "body", "X-A": "body"}
        assert bare.schema["required"] == ["a", "b"]

    def test_described(self):
        """A description is a URL, or a file beside ours."""
        assert server(rest_url="http://h/", openapi="a.json").reach == Rest("http://h/", openapi="/g/a.json")
        assert server(openapi="http://h/a.json").reach == Rest("", openapi="http://h/a.json")

    def test_alone(self):
        """A service with nothing but its address is one without tools, whose health is asked."""
        found = server(rest_url="http://h/", health_endpoint="/well")
        assert (found.reach, found.rest_url, found.health_url) == (Rest("http://h/"), "", "http://h/well")

    def test_beside(self):
        """Beside a command or a url it is where the server's own health is asked."""
        found = server(command="x", rest_url="http://h/", health_endpoint="well")
        assert (found.reach, found.rest_url, found.health_url) == (None, "http://h/", "http://h/well")
        authorized = server(command="x", rest_url="http://h/", headers={"X-A": "b"}, auth={"token": "t"})
        assert authorized.rest_headers == {"X-A": "b", "Authorization": "Bearer t"}
        assert server(url="http://g/", rest_url="http://h/", headers={"X-A": "b"}).rest_headers == {}

    @pytest.mark.parametrize("keys", [{"headers": {"X-A": "b"}}, {"auth": {"token": "t"}}])
    def test_of_a_program(self, keys):
        """A program is sent neither headers nor a token; whoever writes some is told so."""
        document = {"servers": {"x": {"command": "x", **keys}}}
        _, problems = read(json.dumps(document), "/g/config.json")
        assert not problems.errors
        (warning,) = problems.warnings
        assert "has no effect, since the server is a program" in warning

    @pytest.mark.parametrize(
        "tools",
        [
            "x",
            ["x"],
            [{"name": "a"}],
            [{"path": "/"}],
            [{"name": "a", "path": 3}],
            [{"name": "a", "path": "/"}] * 2,
        ],
    )
    def test_wrong(self, tools):
        """A request that cannot be made is refused."""
        assert "servers.x.tools" in problem(rest_url="http://h/", tools=tools)

    def test_tools_of_others(self):
        """Other clients' key ``tools`` is no mistake."""
        assert server(command="x", tools=["*"]).reach is None


class ShapeTests:
    """Files of older gateways and of clients."""

    def test_flat(self):
        """A flat file starts its servers at once, unless they are said to be lazy, with limits of their own."""
        found, warnings = whole(
            {
                "_note": "n",
                "$schema": "s",
                "a": {"type": "local", "command": ["x", "y"], "environment": {"T": "{env:T}"}, "_note": "n"},
                "b": {"type": "remote", "url": "ws://h/", "lazy": {"enabled": True}},
                "c": {
                    "type": "local",
                    "command": ["x"],
                    "lazy": {"enabled": True, "maxRamMb": 0, "connectionTimeoutMs": 1000},
                },
                "d": {"type": "local", "command": ["x"], "lazy": {"prewarm": True}, "enabled": False},
            }
        )
        assert found["a"].lazy == Lazy(enabled=False)
        assert found["b"].lazy == Lazy(idle_s=300, ram_bytes=512 * 2**20)
        assert found["c"].lazy == Lazy(idle_s=300, connect_s=1)
        assert found["d"].lazy == Lazy(enabled=False, prewarm=True)
        assert (found["a"].env["PWD"], found["b"].reach.transport) == ("/home/me", Transport.WEBSOCKET)
        assert [each.enabled for each in found.values()] == [True, True, True, False]
        assert all("T is not set" in each for each in warnings)

    def test_ours(self):
        """A child of a file of ours is not stopped unless that is configured."""
        assert server(command="x", lazy={"idleTimeoutMs": "5m"}).lazy == Lazy(idle_s=300)
        assert server(command="x", lazy=False).lazy == Lazy(enabled=False)

    def test_code_graph(self):
        """The tools of a code graph are told their project: the workspace's, or else the one that is named."""
        projects = [{"name": "a", "path": "/p/a"}, {"name": "b", "path": "/p/b"}, 3]
        found = server(command="x", projects=projects, defaultProject="b")
        assert found.inject == {"projectPath": "${project}"}
        assert (found.projects, found.default_project) == ((Project("a", "/p/a"), Project("b", "/p/b")), "b")
        assert server(command="x", projects=projects).default_project == "a"
        assert server(command="x", defaultProject="/p/c").projects == (Project("/p/c", "/p/c"),)
        assert server(command="x", env={"SCAN_ROOTS": "/r, /s"}).projects == (
            Project("/r", "/r"),
            Project("/s", "/s"),
        )
        found = server(command="x", projects=projects, inject_args={"projectPath": "/mine", "n": 3})
        assert found.inject == {"projectPath": "/mine", "n": "3"}
        assert server(command="x", projects=[]).inject == {}

    def test_klipide(self):
        """Profiles, workspaces and projects of Klipide's gateway are read, with the environment it gives."""
        value = {
            "profiles": {
                "dev": {
                    "capabilities": ["docs"],
                    "servers": {"gh": {"command": "gh", "env": {"T": "${T}"}, "scope": "per-credential"}},
                    "env": {"T": "dev"},
                },
                "ops": {
                    "capabilities": {"include": ["a"]},
                    "servers": {"gh": {"command": "gh", "scope": "workspace"}},
                },
            },
            "workspaces": {"shop": {"path": "/w/shop", "profiles": ["dev", "ops"]}},
            "projects": {"lab": {"path": "~/lab", "env": {"T": "lab"}}, "bare": "/w/bare"},
        }
        found, problems = read(json.dumps(value), "/g/config.json")
        assert [str(each) for each in problems] == [
            "/g/config.json, line 1: profiles.ops.servers.gh: is served under the name gh-ops"
        ]
        assert [(each.name, each.env["PWD"], each.share) for each in found.servers] == [
            *(("gh", "/home/me", Share.CREDENTIAL), ("gh-ops", "/home/me", Share.WORKSPACE))
        ]
        assert found.servers[0].env["T"] == "dev"
        spaces = [(each.name, each.path, each.profiles) for each in found.workspaces]
        assert spaces == [
            *(("lab", "/home/me/lab", ("lab",)), ("bare", "/w/bare", ()), ("shop", "/w/shop", ("dev", "ops")))
        ]
        assert {name: each.servers for name, each in found.profiles.items()} == {
            "dev": ("gh",),
            "ops": ("gh-ops",),
            "lab": (),
        }

    def test_wrong_workspaces(self):
        """A workspace has a directory, and a profile that is not there is told."""
        for said in ({}, {"path": 3}, {"path": "relative"}):
            found, problems = read(json.dumps({"workspaces": {"w": said}}), "/g/c.json")
            assert (found, len(problems.errors)) == (None, 1)
            assert "workspaces.w.path" in str(problems[0])
        found, problems = read(
            json.dumps({"profiles": {"base": {}}, "workspaces": {"w": {"path": "/w", "profiles": ["bse"]}}}),
            "/g/c.json",
        )
        assert "the profile 'bse' is not defined; did you mean 'base'?" in str(problems[0])

    def test_blicksten(self):
        """A list of variables, a switched-off server and a health endpoint are read from JSON as they are written."""
        found, warnings = whole(
            {
                "gateway": {"transports": ["http"], "http_port": 8765, "ping_interval": "30s"},
                "servers": {
                    "a": {"command": "/bin/x", "env": ["A=b"], "disabled": True, "expose_tools": True}
                },
            }
        )
        assert (found["a"].env, found["a"].enabled, warnings) == ({**LOGIN, "A": "b"}, False, ())

    def test_editors(self):
        """Keys that an editor writes beside its servers are no mistake."""
        found, warnings = whole(
            {
                "$schema": "x",
                "x-mine": 1,
                "inputs": [{"id": "k"}],
                "servers": {"a": {"type": "stdio", "command": "x"}},
            }
        )
        assert (list(found), warnings) == (["a"], ())

    def test_opencode(self):
        """Servers under the key of opencode are read."""
        assert whole({"gateway": {}, "mcp": {"a": {"type": "local", "command": ["x"]}}})[0]["a"].command == (
            "x",
        )

    def test_notes_and_names(self):
        """A name may look like a note, where a server stands behind it."""
        found, _ = whole({"servers": {"x-twitter": {"command": "y"}, "x-note": "n", "_a": {"command": "z"}}})
        assert list(found) == ["x-twitter"]

    def test_gateway(self):
        """The breaker and the pings are read."""
        text = {
            "gateway": {
                "ping_interval_ms": 500,
                "circuit": {"restarts": 0, "open": "1h", "auto_reset": False},
            }
        }
        gateway = read_native([parse(json.dumps(text), "/g/c.json")], Problems()).gateway
        assert (gateway.ping_s, gateway.circuit.restarts, gateway.circuit.open_s) == (0.5, 0, 3600)
        assert not gateway.circuit.auto_reset
        assert WORLD.home
