"""``python -m tests.conformance``: every scenario that counts, one by one, at servers alone and through the gateway.

Both official suites are run in their own order and in reverse, each way on a fresh home, with servers on stdio and
behind a URL, shared by default.  A scenario may fail through the gateway only in what its server fails alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import field, frozen

from tests.support import conformance, real_servers
from tests.support.conformance import Course
from tests.support.gateway import Gateway, server
from tests.support.ports import free_port

ORDERS = ("own", "reverse")
DOORS = ("server", "full")  # the endpoint of the server, and that of all servers
START_LIMIT_S = 60


# The client declares roots, and answers no question for them in these scenarios; the server works in them.
ROOTS_ASKED = frozenset(("input-required-result-non-tool-request", "sep-2164-resource-not-found"))


@frozen
class Subject:
    """A server that the suites are run at.

    :ivar stdio: how it is started on stdio.
    :ivar http: how it is started behind a port, which is in its arguments or its environment as ``{port}``.
    :ivar bridge: the setting of the gateway that is before it.
    :ivar doors: where it is asked; on a view nobody knows the server of a name that none has, so it is refused there.
    :ivar lost: the scenarios that cannot be had across the eras, as the documentation says.
    """

    name: str
    stdio: Sequence[str]
    http: Sequence[str] = ()
    environ: Mapping[str, str] = field(factory=dict)
    bridge: str = "auto"
    doors: Sequence[str] = DOORS
    lost: AbstractSet[str] = frozenset()

    @property
    def transports(self) -> tuple[str, ...]:
        """The ways it can be reached by the gateway."""
        return ("stdio", "url") if self.http else ("stdio",)

    @contextmanager
    def served(self) -> Iterator[str]:
        """The server behind a URL."""
        port = str(free_port())
        environ = {
            "PATH": os.environ["PATH"],
            **{name: each.format(port=port) for name, each in self.environ.items()},
        }
        argv = [each.format(port=port) for each in self.http]
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ
        )
        try:
            url = f"http://127.0.0.1:{port}/mcp"
            _await(url)
            yield url
        finally:
            process.kill()
            process.wait()


def subjects() -> list[Subject]:
    """Our fixture in both eras and in each, a server on the Python SDK, and npm's everything server."""
    return [
        Subject("fixture", conformance.server()),
        Subject("legacy", conformance.server("legacy"), bridge="always", lost=conformance.UNBRIDGED),
        Subject("modern", conformance.server("modern"), bridge="always"),
        Subject("pypi", real_servers.scenarios(), real_servers.scenarios("--port", "{port}")),
        Subject(
            "npm",
            real_servers.everything(),
            [*real_servers.everything(), "streamableHttp"],
            {"PORT": "{port}"},
            doors=["server"],  # it has few of the names that the scenarios ask for
            lost=ROOTS_ASKED,
        ),
    ]


@frozen
class Found:
    """The suites' results for an endpoint.

    :ivar faults: the checks that did not pass, by suite, revision and scenario.
    :ivar told: the reasons, in the suites' words, by suite, revision and scenario.
    """

    faults: set[tuple[str, str, str, str]]
    told: dict[tuple[str, str, str], list[str]]

    @property
    def failed(self) -> int:
        """How many scenarios have failed."""
        return len({fault[:3] for fault in self.faults})


@frozen
class Combination:
    """One run of all scenarios through a gateway of its own."""

    subject: Subject
    transport: str
    order: str
    door: str

    def __str__(self) -> str:
        return f"{self.subject.name:8} {self.transport:6} {self.order:8} {self.door:6}"

    @contextmanager
    def endpoint(self, directory: Path) -> Iterator[str]:
        """Where the suites find the server, through a gateway with a fresh home."""
        with ExitStack() as stack:
            if self.transport == "stdio":
                entry = server(self.subject.stdio)
            else:
                entry = {"url": stack.enter_context(self.subject.served())}
            name, settings = self.subject.name, {"bridge": self.subject.bridge}
            gateway = Gateway(directory, {name: {**entry, "prefix": ""}}, settings=settings)
            running = stack.enter_context(gateway)
            yield f"{running.url}/mcp/full" if self.door == "full" else f"{running.url}/{name}/mcp"

    def run(self, courses: Sequence[Course], directory: Path) -> Found:
        """The scenarios that fail, and the suites' results."""
        directory.mkdir()
        asked = courses if self.order == "own" else conformance.reverse(courses)
        with self.endpoint(directory) as url:
            return ran(asked, url, directory)


def ran(courses: Sequence[Course], url: str, directory: Path) -> Found:
    """Run one course after the other."""
    found = Found(set(), {})
    for each in courses:
        report = each.run(url, directory / f"{each.suite}-{each.revision}")
        found.faults.update((each.suite, each.revision, *fault) for fault in each.faults(report))
        found.told.update({(each.suite, each.revision, name): why for name, why in report.failed.items()})
    return found


def unaided(subject: Subject, courses: Sequence[Course], directory: Path) -> Found:
    """The results of a server without a gateway; our fixture speaks stdio only, and no scenario is to fail there."""
    if not subject.http:
        return Found(set(), {})
    results = directory / subject.name
    results.mkdir()
    with subject.served() as url:
        return ran(courses, url, results)


def main() -> int:
    """Run all combinations, and say what fails through the gateway only."""
    options = parsed()
    courses = conformance.courses()
    scenarios = sum(len(each.names) for each in courses)
    chosen = [each for each in subjects() if options.server in {"", each.name}]
    combinations = [
        Combination(subject, transport, order, door)
        for subject in chosen
        for door in subject.doors
        if options.door in {"", door}
        for transport in subject.transports
        if options.transport in {"", transport}
        for order in ORDERS
        if options.order in {"", order}
    ]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(options.jobs) as pool:
        results = Path(directory)
        alone = {each.name: pool.submit(unaided, each, courses, results) for each in chosen}
        through = [
            (each, pool.submit(each.run, courses, results / str(at))) for at, each in enumerate(combinations)
        ]
        more = [
            told(each, found.result(), alone[each.subject.name].result(), scenarios)
            for each, found in through
        ]
    say(f"{scenarios} scenarios, {len(combinations)} combinations, {time.monotonic() - began:.0f} s")
    return 1 if any(more) else 0


def told(combination: Combination, found: Found, alone: Found, scenarios: int) -> bool:
    """Print a line for a combination, and what fails through the gateway only; whether there is any."""
    more = {each for each in found.faults - alone.faults if each[2] not in combination.subject.lost}
    passed = f"alone {scenarios - alone.failed} of {scenarios}, through {scenarios - found.failed}"
    say(f"{combination}  {passed}  {'FAILS' if more else 'ok'}")
    for scenario in sorted({fault[:3] for fault in more}):
        for why in found.told.get(scenario, ["was not run"]):
            say(f"    {' '.join(scenario)}: {why}")
    return bool(more)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--server", default="", help="one only: fixture, legacy, modern, pypi or npm")
    parser.add_argument("--transport", default="", choices=["", "stdio", "url"])
    parser.add_argument("--order", default="", choices=["", *ORDERS])
    parser.add_argument("--door", default="", choices=["", *DOORS])
    parser.add_argument("--jobs", type=int, default=2, help="combinations at a time")
    return parser.parse_args()


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _await(url: str) -> None:
    ends = time.monotonic() + START_LIMIT_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=START_LIMIT_S).close()
        except urllib.error.HTTPError:
            return  # it answers, if only that this is no way to ask
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
