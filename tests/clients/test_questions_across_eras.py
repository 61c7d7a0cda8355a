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
from attrs import frozen

from tests.clients.fronts import Front, listening, way
from tests.clients.job import Job
from tests.clients.libraries import Call, Outcome
from tests.clients.matrix import CLIENTS
from tests.clients.program import Home
from tests.support.gateway import Gateway, server
from tests.support.real_servers import dual_node, everything, fixture

pytestmark = pytest.mark.functional

PINNED_CLIENTS = ("python-sdk-2-pinned", "typescript-sdk-2-pinned")
MODERN_CLIENTS = ("python-sdk-2-auto", "typescript-sdk-2-auto", *PINNED_CLIENTS)
LEGACY_CLIENTS = ("python-sdk-1", "python-sdk-2-legacy", "typescript-sdk-1", "typescript-sdk-2-legacy")
SERVERS = ("legacy", "modern")
CROSSED = [
    *((pair, "legacy") for pair in combinations_with_replacement(MODERN_CLIENTS[1:], 2)),
    *((pair, "modern") for pair in combinations_with_replacement(LEGACY_CLIENTS[:3], 2)),
    (("typescript-sdk-2-pinned", "python-sdk-1"), "legacy"),
    (("python-sdk-2-pinned", "typescript-sdk-1"), "modern"),
]
THROUGH = [
    ("python-sdk-1", Front.SSE, "modern"),
    ("python-sdk-1", Front.STDIO, "modern"),
    ("python-sdk-1", Front.UNIX, "modern"),
    ("typescript-sdk-1", Front.SSE, "modern"),
    ("typescript-sdk-1", Front.STDIO, "modern"),
    ("python-sdk-2-pinned", Front.STDIO, "legacy"),
    ("python-sdk-2-pinned", Front.UNIX, "legacy"),
    ("typescript-sdk-2-pinned", Front.STDIO, "legacy"),
]

METHODS = ("elicitation/create", "sampling/createMessage")
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def _named(case: tuple[Sequence[str], str]) -> str:
    return "+".join([*case[0], case[1]])


@frozen
class Real:
    """A question of a server that is not ours.

    :ivar clients: those that can only be asked across the eras.
    :ivar prompt: what the person is to read, in part.
    """

    clients: Sequence[str]
    job: Job
    prompt: str
    answer: Mapping[str, str]


REAL = {
    "everything elicits": Real(
        PINNED_CLIENTS,
        Job("everything", "trigger-elicitation-request", {}, "the-name-x"),
        "provide inputs",
        {"name": "the-name-x"},
    ),
    "everything samples": Real(
        PINNED_CLIENTS,
        Job("everything", "trigger-sampling-request", {"prompt": "a-prompt-x"}, "the-sample-x"),
        "a-prompt-x",
        {"text": "the-sample-x"},
    ),
    "node elicits": Real(
        LEGACY_CLIENTS, Job("node", "ask_user", {}, "Hello, the-name-x!"), "your name", {"name": "the-name-x"}
    ),
    "node samples": Real(
        LEGACY_CLIENTS,
        Job("node", "ask_model", {"prompt": "a-prompt-x"}, "The model said: the-sample-x"),
        "a-prompt-x",
        {"text": "the-sample-x"},
    ),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The one gateway for all of them."""
    servers = {
        # What a client of the stateless era that asks first is not offered otherwise.
        "legacy": server(fixture("--era", "legacy"), interactive=True, bridge="always"),
        "modern": server(fixture("--era", "modern")),
        "everything": server(everything(), bridge="always"),  # that it asks is found out
        "node": server(dual_node("modern")),
    }
    directory = tmp_path_factory.mktemp("gateway")
    with Gateway(directory, servers, options=listening(directory)) as running:
        yield running


def prompt_of(name: str) -> str:
    """The question of the server to the person of that name."""
    return f"a-question-for-{name}-x"


def answer_of(name: str) -> str:
    """The answer of that person."""
    return f"the-answer-of-{name}-x"


def asking(server_name: str, method: str, name: str) -> Job:
    """A call in which that server asks the person of that name something."""
    if method == "elicitation/create":
        params: Mapping[str, Any] = {"message": prompt_of(name), "requestedSchema": SCHEMA}
    else:
        said = {"role": "user", "content": {"type": "text", "text": prompt_of(name)}}
        params = {"messages": [said], "maxTokens": 10}
    return Job(server_name, "ask", {"method": method, "params": params}, answer_of(name))


def use(
    client: str,
    job: Job,
    gateway: Gateway,
    home: Path,
    person: Mapping[str, Any],
    front: Front = Front.HTTP,
) -> Outcome:
    """Let one client make a call at which its person is asked."""
    call = Call(job, way(gateway, front, job.server), person)
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
    @pytest.mark.parametrize(("client", "front", "server_name"), THROUGH)
    def test_through(
        self, client: str, front: Front, server_name: str, method: str, gateway: Gateway, tmp_path: Path
    ) -> None:
        """The person at a client hears the question through every other front, too."""
        job = asking(server_name, method, "one")
        outcome = use(client, job, gateway, tmp_path, {"answer": {"text": answer_of("one")}}, front)
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

    @pytest.mark.parametrize(
        ("name", "client"), [(name, each) for name in REAL for each in REAL[name].clients]
    )
    def test_real_server(self, name: str, client: str, gateway: Gateway, tmp_path: Path) -> None:
        """A server that is not ours, of one era only, gets the answer of a client of the other."""
        real = REAL[name]
        outcome = use(client, real.job, gateway, tmp_path, {"answer": real.answer})
        assert len(outcome.prompts) == 1, outcome
        assert real.prompt in outcome.prompts[0], outcome
        assert real.job.proof in outcome.text, outcome
