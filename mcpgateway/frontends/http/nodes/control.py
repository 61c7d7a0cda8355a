"""Requests to the control plane that are for another node: they name it, or have the id of a thing of its.

``?node=NAME`` reads at another node, ``?node=all`` at all of them; a job, a result, a dashboard's code and the state of
a sign-in begin with the mark of their node (`mcpgateway.protocol.node_marks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode

import msgspec
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.backends.http.response import WebAnswer
from mcpgateway.cluster.membership import Member, Membership
from mcpgateway.frontends.http.node_client import ASK_S, NodeClient
from mcpgateway.frontends.http.passing import RETRY, Passing, passed_headers
from mcpgateway.frontends.http.routes import API, Media, leading_to
from mcpgateway.hints import cli
from mcpgateway.protocol.node_marks import octets_in

RETURN, SIGN_IN = b"/oauth/callback", b"/api/v1/ui/sessions"
READING = (b"GET", b"HEAD")
ALL = "all"
NODE = "node"
ACTS = frozenset(
    f"servers.{each}" for each in ("start", "stop", "restart", "reset_circuit", "start_all", "stop_all")
)
"""The operations on what a node runs, which a request can direct to a node."""
ACT_S = 70.0  # longer than a start may be waited for, and a stop takes
UNPASSED = frozenset(("accept-encoding", "if-none-match", "range"))
NO_STORE = b"Cache-Control: no-store\r\n"
BODY_LIMIT = 65_536  # of a body that is looked at for a mark


class NodeControl:
    """Decides whether a request to the control plane is served here, and passes it on if not."""

    log = Logger()

    def __init__(self, membership: Membership, passing: Passing, client: NodeClient) -> None:
        self._membership = membership
        self._passing = passing
        self._client = client

    def takes(self, exchange: Any) -> bool:
        """Pass a request on if another node is to serve it; return False if this one is."""
        if exchange.caller.node:
            return False  # another node has passed it on
        path: bytes = exchange.path
        if path.startswith(API) and b"node=" in exchange.query and _is_directed(exchange):
            return self._directs(exchange)
        if path.startswith(API) or path == RETURN:
            member = self._membership.other(octets_in(_identifier(exchange)))
            if member is not None:
                self._pass(exchange, member)
                return True
        return False

    def _pass(self, exchange: Any, member: Member) -> None:
        def unsent(is_refused: bool) -> None:  # noqa: FBT001 - a plain callback
            if is_refused:
                self._membership.refused(member)
            _refuse(
                exchange, 503, f"node {member.name} of the cluster does not answer", "try again in a moment"
            )

        self._passing.send(exchange, member, unsent)

    # Requests that name their nodes

    def _directs(self, exchange: Any) -> bool:
        name = parse_qs(exchange.query.decode("latin-1")).get(NODE, [""])[-1]
        if name in ("", self._membership.me.name):
            return False
        if name == ALL:
            self._ask_all(exchange)
            return True
        member = self._membership.named_node(name)
        if member is None or not self._membership.is_live(member):
            _refuse(
                exchange, 404, f"no live node is called {name[:64]}", f"{cli('cluster status')} lists them"
            )
        else:
            self._pass(exchange, member)
        return True

    def _ask_all(self, exchange: Any) -> None:
        query = dict(parse_qsl(exchange.query.decode("latin-1"), keep_blank_values=True))
        is_act = exchange.method not in READING
        method = exchange.method.decode() if is_act else "GET"
        route = next((each for each in leading_to(exchange.path) if each.method == method), None)
        if route is None or route.media is not Media.JSON or query.get("follow", "").lower() in ("true", "1"):
            _refuse(exchange, 400, "a stream is read at one node", "name the node: node=NAME")
            return
        del query[NODE]
        target = exchange.path.decode("latin-1") + (f"?{urlencode(query)}" if query else "")
        headers = {name: value for name, value in passed_headers(exchange).items() if name not in UNPASSED}
        members = self._membership.live()
        body, limit_s = (exchange.body, ACT_S) if is_act else (b"", ASK_S)
        asked = [self._client.ask(each, method, target, headers, body, timeout_s=limit_s) for each in members]
        read: Deferred[Any] = DeferredList(asked, consumeErrors=True)
        answer = self._answer_act if is_act else self._answer
        read.addCallback(answer, exchange, [each.name for each in members])
        read.addErrback(self._broken, exchange)

    def _answer(self, results: list[tuple[bool, Any]], exchange: Any, names: list[str]) -> None:
        if exchange.gone:
            return
        answers = {name: answer for name, (is_good, answer) in zip(names, results, strict=True) if is_good}
        mine = answers.get(self._membership.me.name)
        if mine is None:
            _refuse(exchange, 503, "this node cannot ask itself", "try again in a moment")
        elif mine.status != 200:
            exchange.answer(mine.status, mine.body, extra=NO_STORE)
        else:
            found = {name: msgspec.json.decode(each.body) for name, each in answers.items() if _is_read(each)}
            body = merged(found, self._membership.me.name, [each for each in names if each not in found])
            exchange.answer(200, msgspec.json.encode(body), extra=NO_STORE)

    def _answer_act(self, results: list[tuple[bool, Any]], exchange: Any, names: list[str]) -> None:
        if exchange.gone:
            return
        rows = [
            {NODE: name, "code": answer.status, **msgspec.json.decode(answer.body, type=dict[str, Any])}
            for name, (is_good, answer) in zip(names, results, strict=True)
            if is_good and _is_json(answer)
        ]
        missing = [name for name in names if name not in {row[NODE] for row in rows}]
        codes = {row["code"] for row in rows}
        # One refusal of all nodes, such as of the token, is the answer's.
        status = codes.pop() if len(codes) == 1 else 200
        more = {key: rows[0][key] for key in ("error", "hint") if key in rows[0]} if status >= 400 else {}
        exchange.answer(
            status, msgspec.json.encode({**more, "items": rows, "missing": missing}), extra=NO_STORE
        )

    def _broken(self, why: Failure, exchange: Any) -> None:
        self.log.failure("a request to all nodes broke", why, event="cluster.reading_broken")
        if not exchange.gone and not exchange.answered:
            _refuse(exchange, 500, "Something went wrong in the gateway; its log says what.", "ask one node")


def merged(answers: Mapping[str, Any], mine: str, missing: list[str]) -> dict[str, Any]:
    """Return one answer in the place of those of several nodes.

    Rows of all nodes stand together, each with its ``node``, and ``count`` is their sum; all else is this node's own.

    :param answers: the JSON of each node.
    :param mine: the name of this node.
    :param missing: the nodes that have not answered.
    """
    own = answers[mine]
    whole = own if isinstance(own, dict) else {"items": own}
    made: dict[str, Any] = {}
    for key, value in whole.items():
        values = [(name, each.get(key) if isinstance(each, dict) else each) for name, each in answers.items()]
        if _has_rows(each for _, each in values):
            made[key] = [
                {**row, NODE: name} for name, rows in values if isinstance(rows, list) for row in rows
            ]
        elif key == "count" and isinstance(value, int):
            made[key] = sum(each for _, each in values if isinstance(each, int))
        else:
            made[key] = value
    return {**made, "nodes": sorted(answers), "missing": missing}


def _has_rows(values: Any) -> bool:
    lists = [each for each in values if isinstance(each, list) and each]
    return bool(lists) and all(isinstance(row, dict) for each in lists for row in each)


def _is_directed(exchange: Any) -> bool:
    """Return whether a request is of those that may name their nodes: reading, and acts on what a node runs."""
    if exchange.method in READING:
        return True
    routes = leading_to(exchange.path) if exchange.method == b"POST" else ()
    return any(each.method == "POST" and each.operation in ACTS for each in routes)


def _is_read(answer: WebAnswer) -> bool:
    return answer.status == 200 and _is_json(answer)


def _is_json(answer: WebAnswer) -> bool:
    return answer.headers.get(b"content-type", b"").startswith(b"application/json")


def _identifier(exchange: Any) -> str:
    """Return the id in a request that may be marked; empty for none."""
    if exchange.path == RETURN:
        text = exchange.query if exchange.method in READING else exchange.body[:BODY_LIMIT]
        fields = parse_qs(text.decode("latin-1"), max_num_fields=50)
        (found, *_) = fields.get("state" if exchange.method in READING else "key", [""])
        return str(found)
    if exchange.path == SIGN_IN and exchange.method == b"POST":
        try:
            return str(msgspec.json.decode(exchange.body[:BODY_LIMIT], type=dict[str, Any]).get("secret", ""))
        except msgspec.DecodeError:
            return ""
    parts = (unquote(each.decode("latin-1")) for each in exchange.path.split(b"/"))
    return next((each for each in parts if octets_in(each) is not None), "")


def _refuse(exchange: Any, status: int, why: str, hint: str) -> None:
    if not exchange.gone:
        body = msgspec.json.encode({"error": why, "hint": hint})
        exchange.answer(status, body, extra=NO_STORE + (RETRY if status == 503 else b""))
