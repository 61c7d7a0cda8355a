"""`debug replay`: send recorded requests to a server again, and show how its answers differ."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TextIO

import click
from attrs import define, field

from mcpgateway.cli.completion_values import server_names
from mcpgateway.cli.console import DONE, FAILED, answer, fail, say, styled
from mcpgateway.cli.context import Globals
from mcpgateway.cli.queries import ask
from mcpgateway.hints import cli
from mcpgateway.policy.secrets.shapes import MASK

REPLAY_S = 620.0  # more than the gateway allows it
SHOWN = 20  # differences of one answer
TEXT = 60  # characters of a value
OF_SESSIONS = frozenset(("initialize", "ping", "server/discover", "subscriptions/listen"))
"""The requests that begin or keep a session, which a replay does by itself."""
SAME, DIFFERENT, UNANSWERED, LEFT_OUT = "same", "different", "no answer was recorded", "left out"
BEGINNINGS = "or its beginning only, since it is long"
CANCELLED = "its client has cancelled it"
TOO_LONG = "the recording has only its beginning, since it is long"
CUT = re.compile(r'"method"\s*:\s*"([^"\\]+)"(?:\s*,\s*"params"\s*:\s*\{\s*"name"\s*:\s*"([^"\\]+)")?')


@define
class Replayed:
    """A recorded request.

    :ivar outcome: one of the words above.
    :ivar may_be_cut: true if its answer may be one of which the recording has only the beginning.
    :ivar differences: where the answers differ, and the recorded value and the new one, as JSON.
    """

    method: str
    name: str
    params: dict[str, Any]
    recorded: Any = None
    outcome: str = LEFT_OUT
    reason: str = ""
    may_be_cut: bool = False
    differences: list[tuple[str, str, str]] = field(factory=list)

    def shown(self) -> dict[str, Any]:
        """Return the request for programs."""
        told = [{"at": at, "recorded": then, "now": now} for at, then, now in self.differences]
        return {"method": self.method, "name": self.name, "outcome": self.outcome, "reason": self.reason} | {
            "differences": told
        }


@click.command()
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--server", shell_complete=server_names, help="Another server than the one that was recorded.")
@click.option(
    "--exact", "is_exact", is_flag=True, help="Compare secrets, too; for a recording of `export --exact`."
)
@click.pass_obj
def replay(globals_: Globals, file: TextIO, server: str | None, *, is_exact: bool) -> int:
    """Send a server the requests of a recording again, and show how its answers differ.

    FILE is what `debug record export` has written; - is stdin. The requests of each child are sent in a session of
    their own. They are carried out: a tool that writes, writes again. Exit code 1 where an answer differs.
    """
    lines = [*_lines(file)]
    name = server or next((str(each["server"]) for each in lines if each.get("server")), "")
    if not name:
        fail(f"{file.name} has no line of a server; {cli('debug record export SERVER')} writes such files")
    children = _requests(lines)
    for requests in children:
        _ask(globals_, name, [each for each in requests if not each.reason], is_exact=is_exact)
    found = [each for requests in children for each in requests]
    answer(globals_, {"server": name, "items": [each.shown() for each in found]}, lambda: _tell(name, found))
    return FAILED if any(each.outcome == DIFFERENT for each in found) else DONE


def _lines(file: TextIO) -> Iterator[Mapping[str, Any]]:
    for number, text in enumerate(file, 1):
        try:
            line = json.loads(text)
        except ValueError as why:
            fail(f"{file.name}, line {number}: not a line of a recording: {why}")
        if not isinstance(line, dict):
            fail(f"{file.name}, line {number}: not a line of a recording, which is a JSON object")
        yield line


def _requests(lines: Iterable[Mapping[str, Any]]) -> list[list[Replayed]]:
    """Return the requests of each child, with their recorded answers."""
    children: dict[int, dict[str, Replayed]] = {}
    for line in lines:
        requests = children.setdefault(line.get("child", 0), {})
        if line.get("direction") == "to-server":
            _add_request(requests, line)
        else:
            _add_answer(requests, line)
    return [[*requests.values()] for requests in children.values() if requests]


def _add_request(requests: dict[str, Replayed], line: Mapping[str, Any]) -> None:
    message = line.get("message")
    if line.get("cut") and (found := CUT.search(str(line.get("text")))):
        requests[f"cut {len(requests)}"] = Replayed(found[1], found[2] or "", {}, reason=TOO_LONG)
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        return
    if message["method"] == "notifications/cancelled" and isinstance(message.get("params"), dict):
        if cancelled := requests.get(json.dumps(message["params"].get("requestId"))):
            cancelled.reason = CANCELLED
    elif "id" in message and message["method"] not in OF_SESSIONS:
        requests[json.dumps(message["id"])] = _request(message)


def _add_answer(requests: dict[str, Replayed], line: Mapping[str, Any]) -> None:
    message = line.get("message")
    if line.get("cut"):  # its id may stand behind its end
        for each in requests.values():
            each.may_be_cut = True
    elif not isinstance(message, dict) or "method" in message:
        return
    elif answered := requests.get(json.dumps(message.get("id"))):
        answered.recorded = _told(message)


def _request(message: Mapping[str, Any]) -> Replayed:
    params = message.get("params")
    params = (
        {name: value for name, value in params.items() if name != "_meta"} if isinstance(params, dict) else {}
    )
    made = Replayed(message["method"], str(params.get("name", params.get("uri", ""))), params)
    if MASK in json.dumps(params):
        made.reason = "its arguments have a secret, which only a recording of `export --exact` has"
    return made


def _told(message: Mapping[str, Any]) -> Any:
    """Return an answer without what each session has of its own."""
    if isinstance(error := message.get("error"), dict):
        return {"error": {"code": error.get("code"), "message": error.get("message")}}
    result = message.get("result")
    if isinstance(result, dict):
        result = {name: value for name, value in result.items() if name not in ("_meta", "resultType")}
    return {"result": result}


def _ask(globals_: Globals, name: str, requests: list[Replayed], *, is_exact: bool) -> None:
    answers = ask(
        globals_,
        "/api/v1/servers/{name}/replay",
        method="POST",
        name=name,
        body={
            "requests": [{"method": each.method, "params": each.params} for each in requests],
            "exact": is_exact,
        },
        limit_s=REPLAY_S,
        waits=f"{name} answers {len(requests)} requests again",
        is_admin=True,
        has="answers",
    )["answers"]
    for each, now in zip(requests, answers, strict=True):
        if each.recorded is None:
            each.outcome, each.reason = UNANSWERED, BEGINNINGS if each.may_be_cut else ""
            continue
        each.differences = [*islice(differences("", each.recorded, _told(now)), SHOWN)]
        each.outcome = DIFFERENT if each.differences else SAME


def differences(at: str, then: Any, now: Any) -> Iterator[tuple[str, str, str]]:
    """Yield the places where two JSON values differ, with the values there."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in {**then, **now}:
            inside = f"{at}.{name}" if at else name
            if name in then and name in now:
                yield from differences(inside, then[name], now[name])
            else:
                yield inside, _written(then, name), _written(now, name)
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for index, (one, other) in enumerate(zip(then, now, strict=True)):
            yield from differences(f"{at}[{index}]", one, other)
    elif then != now or isinstance(then, bool) is not isinstance(now, bool):
        yield at, json.dumps(then, ensure_ascii=False), json.dumps(now, ensure_ascii=False)


def _written(value: Mapping[str, Any], name: str) -> str:
    return json.dumps(value[name], ensure_ascii=False) if name in value else "(nothing)"


def _short(text: str) -> str:
    return text if len(text) <= TEXT else f"{text[: TEXT - 1]}…"


COLOURS = {SAME: "green", DIFFERENT: "red"}


def _tell(name: str, found: list[Replayed]) -> None:
    for each in found:
        said = styled(each.outcome, fg=COLOURS.get(each.outcome, "yellow"))
        say(
            f"{each.method} {each.name}".rstrip(),
            ": ",
            said,
            f" ({each.reason})" if each.reason else "",
            is_foreign=True,
        )
        for at, then, now in each.differences:
            say(f"  {at}: {_short(now)}, and {_short(then)} before", is_foreign=True)
    counts = {
        word: sum(each.outcome == word for each in found) for word in (SAME, DIFFERENT, UNANSWERED, LEFT_OUT)
    }
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    say(f"{name}: {told}." if told else f"The recording has no request to {name} that can be sent again.")
    if any(MASK in now and MASK not in then for each in found for _, then, now in each.differences):
        say("The recording has secrets, which the new answers are shown without: --exact compares them.")
