"""Questions of servers to the people at real clients, where server and client speak different eras.

A server of the session era sends its client a request in mid-call; one of the stateless era answers the call with what
it wants to know, and is called again. Each client here hears the questions of its own calls only, and whoever was
asked first answers last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import pytest

from tests.clients.fronts import Front, way
from tests.clients.job import Job
from tests.clients.libraries import Call, Outcome
from tests.clients.matrix import CLIENTS
from tests.clients.program import Home
from tests.support.gateway import Gateway, server
from tests.support.real_servers import everything, fixture

pytestmark = pytest.mark.functional

MODERN_CLIENTS = (
    "python-sdk-2-auto",
    "python-sdk-2-pinned",
    "typescript-sdk-2-auto",
    "typescript-sdk-2-pinned",
)
LEGACY_CLIENTS = ("python-sdk-1", "python-sdk-2-legacy", "typescript-sdk-1", "typescript-sdk-2-legacy")
SERVERS = ("legacy", "modern")
CROSSED = [
    *((pair, "legacy") for pair in combinations_with_replacement(MODERN_CLIENTS[1:], 2)),
    *((pair, "modern") for pair in combinations_with_replacement(LEGACY_CLIENTS[:3], 2)),
    (("typescript-sdk-2-pinned", "python-sdk-1"), "legacy"),
    (("python-sdk-2-pinned", "typescript-sdk-1"), "modern"),
]


def _named(case: tuple[Sequence[str], str]) -> str:
    return "+".join([*case[0], case[1]])


METHODS = ("elicitation/create", "sampling/createMessage")
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}

REAL = {
    "elicitation/create": (
        Job("everything", "trigger-elicitation-request", {}, "the-name-x"),
        {"name": "the-name-x"},
    ),
    "sampling/createMessage": (
        Job("everything", "trigger-sampling-request", {"prompt": "a-prompt-x"}, "the-sample-x"),
        {"text": "the-sample-x"},
    ),
}
"""What the reference server asks, and what is answered."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The one gateway for all of them."""
    servers = {
        # What a client of the stateless era that asks first is not offered otherwise.
        "legacy": server(fixture("--era", "legacy"), interactive=True, bridge="always"),
        "modern": server(fixture("--era", "modern")),
        "everything": server(everything(), bridge="always"),  # that it asks is found out
    }
    with Gateway(tmp_path_factory.mktemp("gateway"), servers) as running:
        yield running


def prompt_of(name: str) -> str:
    """What the server asks the person of that name."""
    return f"a-question-for-{name}-x"


def answer_of(name: str) -> str:
    """What that person answers."""
    return f"the-answer-of-{name}-x"


def asking(server_name: str, method: str, name: str) -> Job:
    """A call in which that server asks the person of that name something."""
    if method == "elicitation/create":
        params: Mapping[str, Any] = {"message": prompt_of(name), "requestedSchema": SCHEMA}
    else:
        said = {"role": "user", "content": {"type": "text", "text": prompt_of(name)}}
        params = {"messages": [said], "maxTokens": 10}
    return Job(server_name, "ask", {"method": method, "params": params}, answer_of(name))


def use(client: str, job: Job, gateway: Gateway, home: Path, person: Mapping[str, Any]) -> Outcome:
    """Let one client make a call at which its person is asked."""
    call = Call(job, way(gateway, Front.HTTP, job.server), person)
    with Home(home) as at:
        return CLIENTS[client].run(at, [call])[0]


def check(name: str, job: Job, outcome: Outcome) -> None:
    """The person of that name was asked once, and the server has heard the answer."""
    assert outcome.prompts == (prompt_of(name),), f"{name}: {outcome}"
    assert job.proof in outcome.text, f"{name}: {outcome}"


class QuestionTests:
    """Elicitation and sampling from end to end."""

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("server_name", SERVERS)
    @pytest.mark.parametrize("client", MODERN_CLIENTS + LEGACY_CLIENTS)
    def test_alone(
        self, client: str, server_name: str, method: str, gateway: Gateway, tmp_path: Path
    ) -> None:
        """The person at a client hears the question of a server of either era, and the server hears the answer."""
        job = asking(server_name, method, "one")
        outcome = use(client, job, gateway, tmp_path, {"answer": {"text": answer_of("one")}})
        check("one", job, outcome)

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize(("pair", "server_name"), CROSSED, ids=map(_named, CROSSED))
    def test_crossed(
        self, pair: Sequence[str], server_name: str, method: str, gateway: Gateway, tmp_path: Path
    ) -> None:
        """Of two that are asked at the same time the first answers last, and nobody sees the other's question."""
        first_asked, second_done = str(tmp_path / "first-asked"), str(tmp_path / "second-done")
        order = {
            "first": {"asked": first_asked, "until": second_done},
            "second": {"after": first_asked, "done": second_done},
        }
        with ThreadPoolExecutor(len(order)) as pool:
            running = {}
            for client, (name, steps) in zip(pair, order.items(), strict=True):
                job = asking(server_name, method, name)
                person = {"answer": {"text": answer_of(name)}, **steps}
                running[name] = (job, pool.submit(use, client, job, gateway, tmp_path / name, person))
        for name, (job, outcome) in running.items():
            check(name, job, outcome.result())

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("client", MODERN_CLIENTS)
    def test_real_server(self, client: str, method: str, gateway: Gateway, tmp_path: Path) -> None:
        """The reference server of the session era, which asks what it likes, gets the answer of a stateless client."""
        job, answer = REAL[method]
        outcome = use(client, job, gateway, tmp_path, {"answer": answer})
        assert len(outcome.prompts) == 1, outcome
        assert job.proof in outcome.text, outcome
