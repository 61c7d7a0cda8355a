"""An entry to the way in which its server is reached: a program, a port, a URL, a container or a REST service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen
from msgspec import Struct

from mcpgateway.config.document import Place
from mcpgateway.config.problems import Problems
from mcpgateway.config.reach_settings import (
    REST_TOOL,
    TRANSPORTS,
    URL_KEYS,
    Container,
    Daemon,
    Reach,
    Remote,
    Rest,
    RestTool,
    Transport,
)
from mcpgateway.config.section import settings_in

PROGRAM_TYPES = ("stdio", "local")
LOOPBACK = "127.0.0.1"
PATHS = {Transport.STREAMABLE_HTTP: "/mcp", Transport.SSE: "/sse"}
EXPECTED = "an entry with a command, a url, docker, rest_url or openapi"
BODYLESS = ("GET", "HEAD", "DELETE")


@frozen
class EntryReach:
    """The way in which an entry's server is reached, before its variables are expanded.

    :ivar argv: program and arguments; empty where nothing is started.
    :ivar reach: None for a program with JSON-RPC on its stdin and stdout.
    :ivar transport: the transport that the entry names; None leaves it to the URL.
    """

    argv: tuple[str, ...] = field(repr=False)
    reach: Reach | None = None
    transport: Transport | None = None


def read_reach(
    found: Mapping[str, Any], place: Place, env: Mapping[str, str], problems: Problems
) -> EntryReach | None:
    """Return how a server is reached; None for an entry with a mistake, which is added to the problems.

    :param found: the values of the entry, by their keys.
    """
    url = next((found[key] for key in URL_KEYS if key in found), "")
    transport = _transport(found)
    if "docker" in found:
        return _docker(found, place, env, problems)
    if "command" in found:
        argv = argv_of(found)
        if "port" in found or (url and _word(found) == "docker"):
            return _daemon(argv, found, url, transport, place, problems)
        if url:
            problems.append(place.at("command").wrong_secret("either a command or a url, not both").problem)
            return None
        if transport is not None:
            hint = "or leave type and transport out, if the program speaks on its stdin and stdout"
            problems.append(place.at("port").wrong("the port at which the program serves", hint).problem)
            return None
        taken = take_apart(argv)
        return EntryReach(taken.inside, taken.container) if taken else EntryReach(argv)
    if url:
        return _remote(url, found, transport, place, problems)
    if "rest_url" in found or "openapi" in found:
        return _rest(found, place, problems)
    # A present key that could not be read is among the problems already.
    if not any(place.has(key) for key in ("command", "docker", "rest_url", "openapi", *URL_KEYS)):
        problems.append(place.wrong_secret(EXPECTED).problem)
    return None


def argv_of(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return program and arguments of an entry that has them apart, in one list, or for Docker in one text."""
    command = found.get("command", ())
    words: tuple[str, ...] = command if isinstance(command, tuple) else (command,)
    if isinstance(command, str):
        words = words_of(command) or words
    arguments: tuple[str, ...] = found.get("args", ())
    return words + arguments


def _word(found: Mapping[str, Any]) -> str:
    return str(found.get("transport") or found.get("type") or "")


def _transport(found: Mapping[str, Any]) -> Transport | None:
    words = (found.get("transport"), found.get("type"))
    return next((TRANSPORTS[each] for each in words if each in TRANSPORTS), None)


def _daemon(
    argv: tuple[str, ...],
    found: Mapping[str, Any],
    url: str,
    transport: Transport | None,
    place: Place,
    problems: Problems,
) -> EntryReach | None:
    transport = transport or (Transport.SSE if is_sse(url) else Transport.STREAMABLE_HTTP)
    if transport not in PATHS:
        key = "transport" if "transport" in found else "type"
        problems.append(place.at(key).wrong("one of http, streamable-http, sse").problem)
        return None
    path = found.get("path") or PATHS[transport]
    port = found.get("port") or port_of(url)
    if not port:
        problems.append(place.at("port").wrong("the port at which the program serves").problem)
        return None
    url = url or f"http://{LOOPBACK}:{port}/{path.removeprefix('/')}"
    return EntryReach(argv, Daemon(port, url, transport), transport)


def _remote(
    url: str, found: Mapping[str, Any], transport: Transport | None, place: Place, problems: Problems
) -> EntryReach | None:
    if _word(found) in PROGRAM_TYPES:
        key = "transport" if "transport" in found else "type"
        problems.append(place.at(key).wrong("a transport for a url, or a command instead of the url").problem)
        return None
    members = {**settings_in(Remote, found), "url": url, "headers": read_headers(found, place, problems)}
    return EntryReach((), Remote(**members), transport)


def read_headers(found: Mapping[str, Any], place: Place, problems: Problems) -> dict[str, str]:
    """Return the headers of every request to a URL, with the token of ``auth``."""
    headers: dict[str, str] = found.get("headers", {})
    for name in headers:
        why = refused_header(name)
        if why:
            problems.error(place.at("headers").at(name).where, why)
    token = found.get("auth", {}).get("token")
    if token is None:
        return headers
    rest = {name: value for name, value in headers.items() if name.lower() != "authorization"}
    if len(rest) != len(headers):
        problems.append(place.at("auth").wrong_secret("either a token or a header Authorization").problem)
    return {**rest, "Authorization": f"Bearer {token}"}


def _docker(
    found: Mapping[str, Any], place: Place, env: Mapping[str, str], problems: Problems
) -> EntryReach | None:
    if any(key in found for key in URL_KEYS):
        problems.append(place.at("docker").wrong_secret("either docker or a url, not both").problem)
        return None
    section = found["docker"] if isinstance(found["docker"], dict) else {"image": found["docker"]}
    if "image" not in section:
        if not place.at("docker").has("image"):
            problems.append(place.at("docker").at("image").wrong("the image").problem)
        return None
    # By name only: the engine gets the values in its own environment, so that no list of processes shows them.
    given = tuple(word for name in sorted(env) for word in ("-e", name))
    options = (*section.get("options", ()), *given)
    container = Container(**{**settings_in(Container, section), "options": options})
    return EntryReach(argv_of(section) + argv_of(found), container)


def _rest(found: Mapping[str, Any], place: Place, problems: Problems) -> EntryReach:
    tools = place.at("tools")
    read: tuple[RestTool, ...] = ()
    if tools.value is not None:
        read = _tools(tools, problems)
    members = {**settings_in(Rest, found), "headers": read_headers(found, place, problems), "tools": read}
    return EntryReach((), Rest(**members))


def _tools(place: Place, problems: Problems) -> tuple[RestTool, ...]:
    if not isinstance(place.value, list):
        problems.append(place.wrong_secret("a list of tools").problem)
        return ()
    tools: dict[str, RestTool] = {}
    for each in place.items():
        tool = _tool(each, problems)
        if tool and tool.name in tools:
            problems.append(each.at("name").wrong("a name that no other tool has").problem)
        elif tool:
            tools[tool.name] = tool
    return tuple(tools.values())


def _tool(place: Place, problems: Problems) -> RestTool | None:
    if not isinstance(place.value, dict):
        problems.append(place.wrong_secret("a mapping with name and path").problem)
        return None
    found = REST_TOOL.read(place, problems)
    missing = [key for key in ("name", "path") if not place.has(key)]
    for key in missing:
        problems.append(place.at(key).wrong(f"the {key} of the tool").problem)
    if missing or not {"name", "path"} <= found.keys():
        return None
    tool = RestTool(**settings_in(RestTool, found))
    in_path = parameters(tool.path)
    bare: dict[str, Any] = {
        "type": "object",
        "properties": {each: {"type": "string"} for each in in_path}
        | {each: {} for each in tool.places if each not in in_path},
        "required": list(in_path),
    }
    schema = tool.schema or bare
    properties = schema.get("properties")
    usual = "query" if tool.method in BODYLESS else "body"
    places = dict.fromkeys(properties if isinstance(properties, dict) else (), usual)
    places |= dict.fromkeys(in_path, "path")
    return evolve(tool, schema=schema, places={**places, **tool.places})


def parameters(path: str) -> tuple[str, ...]:
    """Return the names in braces of a path."""
    import re

    return tuple(dict.fromkeys(re.findall(r"(?<!\$)\{([A-Za-z_][A-Za-z0-9_.-]*)\}", path)))


def is_sse(url: str) -> bool:
    """True if a URL looks like one of the older transport, HTTP with SSE."""
    return url.partition("?")[0].partition("#")[0].rstrip("/").endswith("/sse")


def port_of(url: str) -> int:
    """Return the port that a URL names, or 0."""
    from urllib.parse import urlsplit

    try:
        return urlsplit(url).port or 0
    except ValueError:
        return 0


ENGINES = ("docker", "podman")
# Options of "run" without a value.  Those that detach or ask for a terminal are left out: a server that is started like
# that does not use its stdin and stdout for JSON-RPC, and its entry stays as written.
ALONE = frozenset(
    "-i --interactive --rm --init --privileged --read-only -P --publish-all --no-healthcheck --oom-kill-disable"
    " --disable-content-trust -q --quiet --no-hosts --replace --tls-verify --sig-proxy".split()
)
# Options that take a value, behind a blank or an equals sign.
VALUED = frozenset(
    "-a -c -e -h -l -m -p -u -v -w --add-host --annotation --attach --blkio-weight --cap-add --cap-drop"
    " --cgroup-parent --cgroupns --cpu-period --cpu-quota --cpu-rt-period --cpu-rt-runtime --cpu-shares --cpus"
    " --cpuset-cpus --cpuset-mems --device --device-cgroup-rule --device-read-bps --device-read-iops"
    " --device-write-bps --device-write-iops --dns --dns-opt --dns-option --dns-search --domainname --entrypoint"
    " --env --env-file --expose --gpus --group-add --hostname --ip --ip6 --ipc --isolation --kernel-memory --label"
    " --label-file --link --link-local-ip --log-driver --log-opt --mac-address --memory --memory-reservation"
    " --memory-swap --memory-swappiness --mount --name --net --net-alias --network --network-alias --oom-score-adj"
    " --pid --pids-limit --platform --publish --pull --runtime --secret --security-opt --shm-size --stop-signal"
    " --stop-timeout --storage-opt --sysctl --tmpfs --tz --ulimit --umask --user --userns --uts --volume"
    " --volume-driver --volumes-from --workdir".split()
)
# Options that every container of the gateway has.
IMPLIED = frozenset(("-i", "--interactive", "--rm"))


class DockerRun(Struct, frozen=True):
    """The parts of a ``docker run`` command.

    :ivar inside: the command within the container; empty for the image's own.
    """

    container: Container
    inside: tuple[str, ...]


def words_of(command: str) -> tuple[str, ...] | None:
    """Return the words of a command that is written as one text and begins with ``docker run`` or ``podman run``."""
    if not command.lstrip().startswith(ENGINES):
        return None
    import shlex

    try:
        found = tuple(shlex.split(command))
    except ValueError:
        return None
    return found if len(found) > 1 and found[0] in ENGINES and found[1] in ("run", "container") else None


def take_apart(argv: tuple[str, ...]) -> DockerRun | None:
    """Return the parts of a ``docker run`` command; None where any word of it is uncertain."""
    engine = argv[0].rpartition("/")[2]
    words = list(argv[1:])
    if words[:1] == ["container"]:
        words.pop(0)
    if engine not in ENGINES or words[:1] != ["run"]:
        return None
    words.pop(0)
    options: list[str] = []
    while words and words[0].startswith("-"):
        taken = _option(words)
        if taken is None:
            return None
        if taken[0] not in IMPLIED:
            options += taken
        del words[: len(taken)]
    if not words or not words[0]:
        return None
    return DockerRun(Container(words[0], argv[0], tuple(options)), tuple(words[1:]))


def _option(words: list[str]) -> list[str] | None:
    word = words[0]
    name, equals, _value = word.partition("=")
    if word in ALONE or (equals and name in VALUED):
        return [word]
    if word in VALUED:
        return words[:2] if len(words) > 1 else None
    # "-eKEY=value" and "-p80:80": a short option with its value at once.
    if word[:2] in VALUED and not word.startswith("--"):
        return [word]
    return None


# RFC 9110 section 5.6.2.
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# They frame or route the message; set by hand they would break or redirect it.
FRAMING_HEADERS = frozenset("host content-length transfer-encoding connection upgrade te trailer".split())


def refused_header(name: str) -> str:
    """Return why a header of this name may not be set, or ""."""
    if not HEADER_NAME.fullmatch(name):
        return "is not a name that a header can have"
    return "is a header that the gateway sets itself" if name.lower() in FRAMING_HEADERS else ""
