"""The control plane as its OpenAPI document says it is: whoever asks, and whatever is asked (schemathesis).

The short form walks every operation with requests that are the same each time, and has those who may less send one
request for each; the long form adds random ones, and requests that build on the answers of others, whoever asks.
"""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from attrs import define
from jsonschema import Draft202012Validator

from mcpgateway.frontends.http.routes import ROUTES, Media
from mcpgateway.frontends.rest.openapi import document
from tests.support.attacking import FIXTURE, JSON, Answer, ask, call, token
from tests.support.gateway import BIN, IS_SOAK, Gateway, eventually, server
from tests.support.processes import is_alive

pytestmark = pytest.mark.functional

SHUTDOWN = "/api/v1/shutdown"
RESTART = "/api/v1/restart"
ENDING = {SHUTDOWN, RESTART, "/api/gateway/disable", "/api/v1/tokens/rotate", "/api/v1/tokens/required"}
"""What ends the gateway, switches it off, or has the tokens of the test be good no more; see `test_what_ends_it`."""

ADMIN = "admin.token"
CALLERS = ("", "auth.token", ADMIN)
WALKERS = CALLERS if IS_SOAK else (ADMIN,)  # schemathesis takes 7 s of CPU for each
PLACE = re.compile(r"{\w+}")
EXAMPLES = 200 if IS_SOAK else 5
PHASES = "examples,coverage,fuzzing,stateful" if IS_SOAK else "examples,coverage"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance"
CHECKS += ",response_schema_conformance"
LIMIT_S = 3600 if IS_SOAK else 120
CONFIG = """
request-timeout = 20
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 502, 503, 504]
[dictionaries]
servers = { values = ["fix", "off", "broken", "away"] }
others = { values = ["gone"] }
[parameters]
"path.name" = { dictionary = "servers", probability = 0.7 }
[[operations]]
include-operation-id = "servers.remove"
parameters = { "path.name" = { dictionary = "others", probability = 0.7 } }
"""
OFFLINE = {"registry_url": ""}
SERVERS = {
    "fix": server(FIXTURE),
    "off": server(FIXTURE, enabled=False),
    "broken": server(["false"]),
    "away": {"url": "http://127.0.0.1:9/mcp"},
    "gone": server(FIXTURE),
}


def left_out() -> list[str]:
    """The ids of operations that are not asked."""
    events = {each.path for each in ROUTES if each.media is Media.EVENTS or each.is_followed}
    return [
        operation["operationId"]
        for path, operations in document()["paths"].items()
        for operation in operations.values()
        if path in ENDING | events
    ]


@define
class Asking:
    """A run of schemathesis, against a gateway of its own.

    :ivar who: whose token is sent; nobody's without a name.
    """

    gateway: Gateway
    directory: Path
    who: str
    _process: subprocess.Popen[str] | None = None

    def begin(self) -> None:
        """Have it ask everything."""
        config = self.directory / "schemathesis.toml"
        config.write_text(CONFIG)
        argv = [str(BIN / "schemathesis"), "--config-file", str(config), "run"]
        argv += [
            f"{self.gateway.url}/api/v1/openapi.json",
            "--no-color",
            "--phases",
            PHASES,
            "--checks",
            CHECKS,
        ]
        argv += [
            "--max-examples",
            str(EXAMPLES),
            "--mode",
            "all",
        ]
        argv += ["--continue-on-failure", "--seed", "1", "--generation-deterministic", "--max-redirects", "0"]
        argv += ["--suppress-health-check", "all"]
        argv += [part for each in left_out() for part in ("--exclude-operation-id", each)]
        argv += ["--header", f"Authorization:{token(self.gateway, self.who)}"] if self.who else []
        self._process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.directory
        )

    def end(self) -> tuple[int, str]:
        """Wait for it; its exit code, and what it has found."""
        assert self._process is not None
        try:
            found, _ = self._process.communicate(timeout=LIMIT_S)
        finally:
            self._process.kill()
        return self._process.returncode, found


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """All of them, side by side."""
    with ExitStack() as stack:
        made = {}
        for who in WALKERS:
            directory = tmp_path_factory.mktemp("asked")
            made[who] = Asking(
                stack.enter_context(Gateway(directory, SERVERS, settings=OFFLINE)), directory, who
            )
            made[who].begin()
        yield made


@pytest.mark.parametrize("who", WALKERS, ids=lambda who: who or "nobody")
def test_as_declared(runs, who):
    """Every answer has a status, a type and a shape that its operation declares, and none says that we broke."""
    gateway = runs[who].gateway
    code, found = runs[who].end()
    assert code == 0, found[-20_000:]
    assert "Traceback" not in gateway.log
    headers = {**JSON, "Authorization": token(gateway, ADMIN)}
    body = json.dumps({"name": "fresh", "config": server(FIXTURE)}).encode()
    assert ask(gateway, "POST", "/api/v1/servers?wait=30s", body, **headers).status == 202
    assert call(gateway, "echo", {"text": "after it"}, server="fresh") == "after it"


@pytest.mark.parametrize("who", [each for each in CALLERS if each != ADMIN], ids=lambda who: who or "nobody")
def test_those_who_may_less(tmp_path, who):
    """A request for each operation is answered as declared; without a token nothing changes."""
    statuses, whole = set(), document()
    with Gateway(tmp_path, SERVERS, settings=OFFLINE) as gateway:
        headers = JSON | ({"Authorization": token(gateway, who)} if who else {})
        before = json.loads(gateway.config.read_text())
        left = left_out()
        for path, operations in whole["paths"].items():
            for method, operation in operations.items():
                if operation["operationId"] in left:
                    continue
                asked = PLACE.sub("fix", path)
                body = b"" if method == "get" else b"{}"
                answer = ask(gateway, method.upper(), asked, body, **headers)
                is_as_declared(answer, operation, whole["components"])
                statuses.add(answer.status)
        assert statuses & {401, 403}
        assert 200 in statuses
        assert who or json.loads(gateway.config.read_text()) == before
        assert "Traceback" not in gateway.log


def is_as_declared(answer: Answer, operation: dict[str, Any], components: dict[str, Any]) -> None:
    """See that an answer has a status, headers, a type and a shape that its operation declares.

    :param components: what the schemas of the document refer to.
    """
    assert answer.status < 500, answer
    said = operation["responses"].get(str(answer.status))
    assert said is not None, (operation["operationId"], answer)
    wanted = {name.lower() for name, each in said.get("headers", {}).items() if each.get("required")}
    assert wanted <= set(answer.headers), (operation["operationId"], answer)
    if content := said.get("content"):
        media = answer.headers["content-type"].partition(";")[0]
        assert media in content, (operation["operationId"], answer)
        if media == "application/json":
            schema = {**content[media].get("schema", {}), "components": components}
            # Not validate(), which checks all components by the schema of schemas before each answer.
            Draft202012Validator(schema).validate(answer.json)


def declared(path: str, status: int) -> dict[str, Any]:
    """The schema of an answer to a POST or PUT, with all that it refers to."""
    whole = document()
    operation = next(iter(whole["paths"][path].values()))
    schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
    return {**schema, "components": whole["components"]}


def test_what_ends_it(tmp_path):
    """A route that switches off, takes tokens back or ends needs the token, and answers as declared."""
    bodies = {"/api/v1/tokens/required": {"required": False}, "/api/v1/tokens/rotate": {"which": ["auth"]}}
    with Gateway(tmp_path, SERVERS, settings=OFFLINE) as gateway:
        for path in [*sorted(ENDING - {SHUTDOWN, RESTART}), SHUTDOWN]:
            method = next(each.method for each in ROUTES if each.path == path)
            body = json.dumps(bodies.get(path, {})).encode()
            refused = ask(gateway, method, path, body, **JSON)
            jsonschema.validate(refused.json, declared(path, refused.status))
            assert refused.status == 401
            answer = ask(gateway, method, path, body, **JSON, Authorization=token(gateway, ADMIN))
            jsonschema.validate(answer.json, declared(path, answer.status))
            assert answer.status == (202 if path == SHUTDOWN else 200)
        eventually(lambda: not is_alive(gateway.pid), "it ends")
        gateway.stop()
