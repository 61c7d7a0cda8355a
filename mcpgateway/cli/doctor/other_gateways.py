"""Checks for other gateways on this machine, and for servers that run although the gateway shares them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from mcpgateway.cli.doctor.context import DoctorContext, UserProcess
from mcpgateway.cli.doctor.finding import Check, DoctorFinding, fine, note, problem, some
from mcpgateway.cli.doctor.namesakes import foreign_programs
from mcpgateway.clientfiles import immorterm
from mcpgateway.config.ours import PROGRAMS, original_of
from mcpgateway.hints import cli

PORTS = {8765: "mcp-gateway or harshal-mcp-proxy", 3199: "mcp-manager", 8989: "mcpg", 3100: "a memory server"}
"""The default addresses of the gateways that this one can replace."""
OTHERS = ("immorterm-mcp-gateway", "mcp-manager", "mcp-gateway", "harshal-mcp-proxy")
NAMES = (*sorted(PROGRAMS), "mcp-gateway")
"""Names under which this program is installed."""
ENTRY, SCRIPT_BYTES = b"mcpgateway.cli.entry", 4096
RUNNERS = frozenset(("npx", "npm", "uvx", "uv", "pipx", "bunx", "pnpm", "yarn"))
COMMON = frozenset(
    ("mcp", "mcp-server", "server", "cli", "index.js", "cli.js")
)  # which do not distinguish servers
INTERPRETERS = frozenset(("node", "python", "python3", "bun", "deno", "sh", "bash"))

ANOTHER = note(
    "gateways.another",
    "Another gateway runs: of another home, or another program of the kind.",
    "end it once its clients use this one; two gateways start each server twice",
)
AT_PORT = note(
    "gateways.port",
    "Something listens at the default port of a gateway that this one can stand in for.",
    "to serve its clients, end it, add its port to compat.ports, and start this one again",
)


def gateways(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check if other gateways run on this machine."""
    found = list(_others(world))
    pids = {pid for pid, _ in found}
    at_ours = {each.pid for each in world.holders(world.port)}
    for pid, what in found:
        if pid in at_ours:
            continue  # the findings on the port tell of it
        yield ANOTHER.found(f"{what} runs (pid {pid})")
    taken = []
    for port, name in PORTS.items():
        for holder in world.holders(port):
            if holder.pid not in (*pids, world.pid) and port != world.port:
                taken.append(port)
                yield AT_PORT.found(f"port {port}, which is {name}'s, is held by {holder}")
    if not found and not taken:
        yield fine("gateways", "no other gateway runs")


LEFT = problem(
    "immorterm.left",
    "immorterm-mcp-gateway has crashed: clients' files name its port, where no gateway answers.",
    f"{cli('clients apply')} restores their files and enrols them; {cli('clients undo')} only restores them",
)
LEADS = note("immorterm.leads", "immorterm-mcp-gateway runs, and clients' files use it.", immorterm.ENDS_IT)


def of_immorterm(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check if clients' files use immorterm-mcp-gateway, running or not."""
    found = immorterm.stranded(world.machine) if world.records is not None else ()
    kind = LEADS if found and immorterm.runs(world.environ) else LEFT
    for each in found:
        yield kind.found(f"{each.site.path}: {some(each.titles)} uses immorterm-mcp-gateway")
    if not found:
        yield fine("immorterm", "no client uses immorterm-mcp-gateway")


def _others(world: DoctorContext) -> Iterator[tuple[int, str]]:
    for each in world.programs:
        if each.is_of_gateway or each.pid in (0, world.pid):
            continue
        names = {os.path.basename(word) for word in each.argv[:3]}
        if _is_gateway(each):
            home = _home(each, world)
            if home != world.home:
                yield each.pid, f"the gateway of {home}"
        elif names & set(OTHERS):
            yield each.pid, min(names & set(OTHERS))


def homes_of_others(world: DoctorContext) -> tuple[str, ...]:
    """Return the homes of other gateways that run on this machine, each once."""
    found = (_home(each, world) for each in world.programs if _is_gateway(each))
    return tuple(dict.fromkeys(home for home in found if home != world.home))


def _is_gateway(program: UserProcess) -> bool:
    names = {os.path.basename(word) for word in program.argv[:5]}
    return "mcpgateway" in program.argv and bool(names & {"twistd", "twist"})


def _home(program: UserProcess, world: DoctorContext) -> str:
    argv = program.argv
    for at, word in enumerate(argv):
        if word == "--home" and at + 1 < len(argv):
            return os.path.abspath(argv[at + 1])
        if word.startswith("--home="):
            return os.path.abspath(word.removeprefix("--home="))
    return os.path.abspath(program.home) if program.home else os.path.join(world.user_home, ".mcp-gateway")


TWICE = note(
    "duplicates.running",
    "A client still runs a server of its own that the gateway serves.",
    "start a new session of that client; the sessions that are open keep what they began with",
)


def duplicates(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check if clients run servers that the gateway serves too."""
    settings = world.examined.settings
    found: dict[str, list[int]] = {}
    for server in settings.servers if settings is not None and world.socket.status else ():
        if server.reach is None:
            wanted = essence(server.command)
            running = [each.pid for each in world.programs if not each.is_of_gateway and _is(each, wanted)]
            if running:
                found[server.name] = running
    for name, pids in found.items():
        number = "a process" if len(pids) == 1 else f"{len(pids)} processes"
        yield TWICE.found(f"{name} also runs outside the gateway: {number} (pid {some(map(str, pids))})")
    if not found:
        yield fine("duplicates", "no client runs a server of its own that the gateway serves")


def essence(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of a command that do not depend on its start: by a package runner, by node, or directly."""
    words = [each for each in command if each not in ("-y", "--yes", "-q", "--quiet")]
    while words and os.path.basename(words[0]) in RUNNERS | INTERPRETERS | {"exec", "run", "tool", "--"}:
        words = words[1:]
    if not words:
        return ()
    return (_package(words[0]), *words[1:])


def _package(word: str) -> str:
    # A scope is a part of the name: most servers of the scope @playwright are called mcp, and so are many others.
    name = word if word.startswith("@") and word.count("/") == 1 else os.path.basename(word.rstrip("/"))
    at = name.find("@", 1)
    return name[:at] if at > 0 else name


def _is(program: UserProcess, wanted: tuple[str, ...]) -> bool:
    if not wanted or (wanted[0].startswith("-") and len(wanted) == 1) or not program.argv:
        return False
    if os.path.basename(program.argv[0]) in PROGRAMS or original_of(program.argv) is not None:
        return False
    found = essence(program.argv)
    if not found or os.path.basename(program.argv[0]) in RUNNERS:
        return False  # the runner waits for the server, which is the process that counts
    is_named = found[0] in (wanted[0], wanted[0].rpartition("/")[2]) and found[0] not in COMMON
    return found[1:] == wanted[1:] and (is_named or _is_of(program, wanted[0]))


def _is_of(program: UserProcess, package: str) -> bool:
    # npm starts a package by a link to one of its files, whose name may be any.
    within = os.path.join("", "node_modules", package, "")
    return any(within in os.path.realpath(word) for word in program.argv[:2] if word.startswith("/"))


FOREIGN = note(
    "programs.foreign",
    "A program on the PATH has one of the gateway's names, and is another's: whoever calls it means that one.",
    "say mcpgateway in its place, or remove the package that is not wanted",
)


def programs(world: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the names of this program lead to it; `namesakes` reports the known package of that name."""
    path = world.environ.get("PATH", "")
    found = {name: program for name in NAMES if (program := shutil.which(name, path=path))}
    foreign = [program for program in found.values() if not _is_ours(program)]
    reported = set(foreign_programs(path)) if foreign else set()
    for program in foreign:
        if program not in reported:
            yield FOREIGN.found(f"{program} is a program of another package")
    if not foreign:
        yield fine("programs", f"programs: {', '.join(found) or 'none of this package is on the PATH'}")


def _is_ours(path: str) -> bool:
    # A script of pip or pipx, of any installation.
    try:
        with open(path, "rb") as file:
            return ENTRY in file.read(SCRIPT_BYTES)
    except OSError:
        return True  # unknown


CHECKS = (
    Check("gateways", "other gateways", gateways, (ANOTHER, AT_PORT)),
    Check("immorterm", "immorterm-mcp-gateway", of_immorterm, (LEFT, LEADS)),
    Check("duplicates", "servers that run twice", duplicates, (TWICE,)),
    Check("programs", "programs on the PATH", programs, (FOREIGN,)),
)
