"""Questions to people and tasks, through both modes: what comes of them with agents, libraries, and bare messages."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.clients import matrix
from tests.clients.fronts import Front, Way, way
from tests.clients.job import Job
from tests.clients.libraries import Call, Outcome
from tests.clients.program import Home
from tests.clients.scripted_model import Step
from tests.clients.seat import ASIDE, DIRECT, ECHO, IT, MODES, seated
from tests.support.gateway import Gateway, server
from tests.support.modern_client import TASKS, headers_of, meta, request
from tests.support.real_servers import fixture

LIBRARIES = (
    "python-sdk-1",
    "python-sdk-2-auto",
    "fastmcp",
    "typescript-sdk-1",
    "typescript-sdk-2-auto",
    "inspector-legacy",
)
FRONTS = (Front.HTTP, Front.STDIO)
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
QUESTION = {"method": "elicitation/create", "params": {"message": "May I?", "requestedSchema": SCHEMA}}
STEPS = (Step(IT, "ask", QUESTION), Step(IT, "task", {"ms": 100}))
WORDS = re.compile(r"action[^a-z]+(accept|decline|cancel)|message[^a-zA-Z]+([A-Z][^\"\\]+)")
LIMIT_S, LOOK_S = 10.0, 0.2


def of_agent(directory: Path, client: str) -> list[list[str]]:
    """The lines of one agent: what a tool that asks, and one that makes a task, come to without and in each mode."""
    said: dict[str, Sequence[str]] = {}
    for mode in (DIRECT, *MODES):
        with seated(directory / mode, client, mode, "--era", "dual") as seat:

            def decide(results: Sequence[str], offers: Callable[[str, str], bool]) -> Step | None:
                if len(results) == len(STEPS):
                    return None
                step = STEPS[len(results)]
                is_there = offers(step.server, step.tool)
                return step if is_there else Step(ASIDE, ECHO, {"text": "is not offered"})

            said[mode] = seat.turn(decide).results
    return [
        [client, step.tool, *(short(said[mode][nth]) for mode in (DIRECT, *MODES))]
        for nth, step in enumerate(STEPS)
    ]


def libraries(directory: Path) -> list[list[str]]:
    """A line of each client without a model: what a tool that asks, and one that makes a task, come to."""
    jobs: Sequence[tuple[Job, Mapping[str, Any]]] = (
        (Job(IT, "ask", QUESTION, "the-answer-x"), {"answer": {"text": "the-answer-x"}}),
        (Job("tasks", "task", {"ms": 100}, "completed"), {}),
    )
    servers = {IT: server(fixture()), "tasks": server(fixture("--era", "modern"))}
    directory.mkdir(parents=True)
    with Gateway(directory, servers) as gateway:

        def come_of(client: str, job: Job, person: Mapping[str, Any], front: Front) -> str:
            with Home(directory / f"{client}-{front.value}-{job.tool}") as home:
                call = Call(job, way(gateway, front, job.server), person)
                outcome: Outcome = matrix.CLIENTS[client].run(home, [call])[0]
            return "passes" if job.proof in outcome.text else short(outcome.error or outcome.text)

        return [
            [
                client,
                *(come_of(client, job, person, front) for job, person in jobs for front in FRONTS),
            ]
            for client in LIBRARIES
        ]


def short(said: str) -> str:
    """The part of a text that says what came of it."""
    found = WORDS.search(said)
    return (found[1] or found[2] if found else " ".join(said.split()))[:70].strip()


# Bare messages, since no client here knows tasks


def tasks(directory: Path) -> list[list[str]]:
    """A line of each mode: the status of a task of 2026-07-28 that a client asks for until it has ended."""
    directory.mkdir(parents=True)
    with Gateway(directory, {IT: server(fixture("--era", "modern"))}) as gateway:
        return [[front.value, _task(way(gateway, front, IT), front)] for front in FRONTS]


def _task(there: Way, front: Front) -> str:
    envelope = meta(**{"io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}}})
    with subprocess.Popen(there.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shim:
        try:

            def ask(body: dict[str, Any]) -> dict[str, Any]:
                return _posted(there.url, body) if front is Front.HTTP else _piped(shim, body)

            made = ask(request(1, "tools/call", envelope, name="task", arguments={"ms": 500}))["result"]
            ends = time.monotonic() + LIMIT_S
            while made.get("status") == "working" and time.monotonic() < ends:
                time.sleep(LOOK_S)
                made = ask(request(2, "tasks/get", envelope, taskId=made["taskId"]))["result"]
            return str(made.get("status", made))
        finally:
            shim.kill()


def _posted(url: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    asked = urllib.request.Request(url, json.dumps(body).encode(), headers | headers_of(body))
    with urllib.request.urlopen(asked, timeout=LIMIT_S) as answer:
        text = answer.read().decode()
    return _answer_among([line.removeprefix("data: ") for line in text.splitlines()], body["id"])


def _piped(shim: subprocess.Popen[bytes], body: dict[str, Any]) -> dict[str, Any]:
    assert shim.stdin is not None
    assert shim.stdout is not None
    shim.stdin.write(json.dumps(body).encode() + b"\n")
    shim.stdin.flush()
    return _answer_among((line.decode() for line in shim.stdout), body["id"])


def _answer_among(lines: Iterable[str], number: int) -> dict[str, Any]:
    for line in lines:
        found: dict[str, Any] = json.loads(line) if line.startswith("{") else {}
        if found.get("id") == number and "method" not in found:
            return found
    raise AssertionError("no answer")
