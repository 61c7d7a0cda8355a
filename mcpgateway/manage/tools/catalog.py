"""``list_catalog``, ``get_health`` and ``docs``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from attrs import define, frozen

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec
from mcpgateway.config.reach_settings import Remote
from mcpgateway.config.recipes import Recipe
from mcpgateway.discovery.naming import question_of, server_hint
from mcpgateway.interfaces import Request
from mcpgateway.manage.tools.tool import Management, answer_later
from mcpgateway.owntools import answers, arguments
from mcpgateway.owntools.status import seen_by
from mcpgateway.owntools.tool import READ, Access, define_tool
from mcpgateway.protocol.jsonrpc import Envelope
from mcpgateway.system import package_data
from mcpgateway.system.catalog.lookup import ServerCatalog, runs_as, words_of

ENTRIES_LIMIT = 40
TOPICS_SHOWN, KEYS_SHOWN = 3, 12
TOPIC_CHARACTERS = 4000


@define(eq=False, repr=False)
class ListCatalog:
    """Lists the servers that can be installed by name."""

    _make: Callable[[], Management]
    name: ClassVar[str] = "list_catalog"
    tier: ClassVar[str] = READ
    definition: ClassVar[bytes] = define_tool(
        "list_catalog",
        "Servers that install_server knows. A query narrows the list down and shows what each needs.",
        {"query": {"type": "string", "description": "A name, a tag or words."}},
        readOnlyHint=True,
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Answer with the servers that match, best first."""
        answer_later(request, self._listed(given, access))

    async def _listed(self, given: Envelope, access: Access) -> dict[str, Any]:
        made = self._make()
        query = arguments.text(given, "query", "search", "server")
        catalog = ServerCatalog()
        known = catalog.recipes
        servers = [*made.sight.servers(), *access.specs()]
        found = catalog.ranked(query) if query else list(known.values())
        listed = [_entry(each, servers, is_whole=bool(query)) for each in found[:ENTRIES_LIMIT]]
        if listed:
            hint = 'install one with install_server, as in {"server": "time", "scope": "global"}'
            return {"servers": listed, "hint": hint}
        meant = question_of(query.lower(), known) or "without a query, all are listed"
        return {"servers": [], "hint": f"{meant} Other servers are installed by package, URL or definition."}


def _entry(recipe: Recipe, servers: Iterable[ServerSpec], *, is_whole: bool) -> dict[str, Any]:
    installed = _installed(recipe, servers)
    shown: dict[str, Any] = {
        "name": recipe.name,
        "about": recipe.about,
        "status": f"installed as {installed}" if installed else "available",
    }
    if not is_whole:
        return shown
    shown["from"] = runs_as(recipe)
    more = {
        "values": [each.shown() for each in recipe.values],
        "variables": [each.shown() for each in recipe.variables],
        "share": recipe.keys.get("share"),
        "quirks": recipe.quirks,
        "homepage": recipe.homepage,
        "tags": list(recipe.tags),
    }
    return shown | {key: each for key, each in more.items() if each}


def _installed(recipe: Recipe, servers: Iterable[ServerSpec]) -> str:
    url, package = recipe.keys.get("url"), recipe.program[-1] if recipe.program else ""
    for each in servers:
        if isinstance(each.reach, Remote) and url:
            if each.reach.url.rstrip("/") == str(url).rstrip("/"):
                return each.name
        elif package and any(re.fullmatch(f"{re.escape(package)}(@.*|==.*)?", word) for word in each.command):
            return each.name
    return ""


@define(eq=False, repr=False)
class GetHealth:
    """Shows the health of the gateway and of the caller's servers."""

    _make: Callable[[], Management]
    name: ClassVar[str] = "get_health"
    tier: ClassVar[str] = READ
    definition: ClassVar[bytes] = define_tool(
        "get_health",
        "How the servers are, and what is wrong with them.",
        {"server": {"type": "string", "description": "Only this one."}},
        readOnlyHint=True,
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Answer with a line for each server."""
        made = self._make()
        name = arguments.text(given, "server")
        seen = seen_by(access)
        specs = [each for each in seen if name in ("", each.name)]
        if name and not specs:
            hint = server_hint(name, [each.name for each in seen])
            answers.failed(request, f"Unknown server: {name[:60]}", hint)
            return
        servers = [made.sight.shown(each) for each in specs]
        config = made.sight.config()
        ill = [each["name"] for each in servers if each["health"] in ("degraded", "unhealthy")]
        problems = list(config.get("problems") or ())
        answers.text(
            request,
            {
                "status": "degraded" if ill or problems else "ok",
                "version": __version__,
                "uptime_seconds": made.sight.uptime(),
                "servers": servers,
                "config": {"problems": problems, "restart_needed": list(config.get("restart_needed") or ())},
                **({"hint": f"get_server_config shows how {ill[0]} is defined"} if ill else {}),
            },
        )


@frozen
class Topic:
    """A topic of the documentation."""

    title: str
    text: str


@define(eq=False, repr=False)
class Docs:
    """Searches the gateway's own documentation; needs no network."""

    _make: Callable[[], Management]
    name: ClassVar[str] = "docs"
    tier: ClassVar[str] = READ
    definition: ClassVar[bytes] = define_tool(
        "docs",
        "Search the gateway's documentation.",
        {"search": {"type": "string", "description": "Words. Without them the topics are listed."}},
        readOnlyHint=True,
    )

    def call(self, request: Request, given: Envelope, access: Access) -> None:
        """Answer with the topics and keys that match best."""
        query = arguments.text(given, "search", "query", "topic")
        known = tuple(topics(package_data.topics()))
        if not query:
            answers.text(
                request,
                {"topics": [each.title for each in known], "hint": 'such as {"search": "install a server"}'},
            )
            return
        found = _best(query, known)
        keys = list(_keys(query))
        if not found and not keys:
            hint = "topics: " + ", ".join(each.title for each in known)
            answers.failed(request, f"nothing is written about '{query[:60]}'", hint)
            return
        shown = [{"title": each.title, "text": each.text[:TOPIC_CHARACTERS]} for each in found]
        answers.text(request, {"topics": shown, **({"keys": keys} if keys else {})})


def topics(text: str) -> Iterator[Topic]:
    """Yield the topics of a text: each begins with a line ``# title``."""
    for part in re.split(r"^# ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        yield Topic(title.strip(), body.strip())


def _best(query: str, known: Iterable[Topic]) -> list[Topic]:
    words = words_of(query)
    scored = []
    for each in known:
        title, text = words_of(each.title), words_of(each.text)
        score = sum(_fit(word, title, 6) + _fit(word, text, 1) for word in words)
        scored.append((score, each))
    best = max((score for score, _ in scored), default=0)
    ranked = sorted(scored, key=lambda pair: -pair[0])
    return [each for score, each in ranked[:TOPICS_SHOWN] if score and score * 3 >= best]


def _fit(word: str, words: list[str], weight: int) -> int:
    hits = sum(each == word or (len(word) > 3 and each.startswith(word)) for each in words)
    return weight * min(hits, 3)


def _keys(query: str) -> Iterator[dict[str, str]]:
    """Yield the keys of the configuration that match a query."""
    from mcpgateway.config.reference import SECTIONS  # rarely needed

    words, dotted = words_of(query), query.strip().lower()
    ranked: list[tuple[int, str, Mapping[str, str]]] = []
    for place, section in SECTIONS.values():
        for key in section.keys.values():
            key_path = f"{place}.{key.name}" if place else key.name
            held = words_of(re.sub(r"([a-z])([A-Z])", r"\1 \2", key.name))
            score = 100 * (dotted in (key_path.lower(), key.name.lower())) + sum(
                10 * any(each == word for each in held) for word in words
            )
            if score:
                says = key.says if key.default is None else f"{key.says} Default: {key.default!r}."
                ranked.append((score, key_path, {"key": key_path, "takes": key.kind.words, "says": says}))
    ranked.sort(key=lambda each: (-each[0], each[1]))
    best = ranked[0][0] if ranked else 0
    for score, _, shown in ranked[:KEYS_SHOWN]:
        if score * 2 >= best:
            yield dict(shown)
