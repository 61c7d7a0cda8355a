"""Results that are kept: for whom, and for how long."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.hub.result_cache import BYTES_LIMIT, KEPT_MS, RESULT_LIMIT, RESULTS_LIMIT, ResultCache
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import PROTOCOL_VERSION_KEY, Envelope
from mcpgateway.protocol.translate import CACHEABLE

TOOLS = "tools/list"
READ = "resources/read"


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def watch() -> Watch:
    """The time of the cache."""
    return Watch()


@pytest.fixture
def cache(watch: Watch) -> ResultCache:
    """A cache that is empty."""
    return ResultCache(watch)


def result(ttl: Any = 60_000, scope: Any = "public", **more: Any) -> Raw:
    """A result that may be kept for so many milliseconds, and for whom."""
    return jsonrpc.raw({"resultType": "complete", "ttlMs": ttl, "cacheScope": scope, **more})


def envelope(**params: Any) -> Envelope:
    """The parameters of a request."""
    return {name: jsonrpc.raw(value) for name, value in params.items()}


def read(cache: ResultCache, *request: Any) -> Any:
    """The result that is kept for a request, as a value."""
    found = cache.get(*request)
    return None if found is None else json.loads(bytes(found))


class TimeTests:
    """For how long a result is kept."""

    def test_what_is_left(self, cache: ResultCache, watch: Watch) -> None:
        """A result says how much longer it may be used; everything else of it stays byte for byte."""
        cache.put("s", TOOLS, None, "ann", Raw(b'{"a":1.10,"ttlMs":2000,"cacheScope":"public","tools":[ ]}'))
        watch.now += 0.5
        assert bytes(cache.get("s", TOOLS, None, "ann") or b"") == (
            b'{"ttlMs":1500,"a":1.10,"cacheScope":"public","tools":[ ]}'
        )
        watch.now += 1.4995
        assert cache.get("s", TOOLS, None, "ann") is None
        assert (len(cache), cache.size) == (0, 0)

    def test_an_hour_at_most(self, cache: ResultCache, watch: Watch) -> None:
        """However long a server allows, it is asked again after an hour."""
        cache.put("s", TOOLS, None, "ann", result(10 * KEPT_MS))
        watch.now += KEPT_MS / 1000 - 1
        assert read(cache, "s", TOOLS, None, "ann")["ttlMs"] == 9 * KEPT_MS + 1000
        watch.now += 1
        assert cache.get("s", TOOLS, None, "ann") is None

    def test_a_clock_that_is_set_back(self, cache: ResultCache, watch: Watch) -> None:
        """A result from the future is not used: nobody knows how old it is."""
        cache.put("s", TOOLS, None, "ann", result())
        watch.now -= 1
        assert cache.get("s", TOOLS, None, "ann") is None

    @given(st.integers(1, 10**7), st.floats(0, 10_000))
    def test_never_longer_than_allowed(self, ttl: int, age: float) -> None:
        """A client never hears that a result may be used for longer than its server said."""
        watch = Watch()
        cache = ResultCache(watch)
        cache.put("s", TOOLS, None, "ann", result(ttl))
        watch.now += age
        found = read(cache, "s", TOOLS, None, "ann")
        left = ttl - (watch.now - 1000.0) * 1000
        assert found is None or 0 < found["ttlMs"] <= left
        assert found is not None or left < 1 or age * 1000 > KEPT_MS - 1


class ScopeTests:
    """The scope of a recorded result."""

    def test_for_all(self, cache: ResultCache) -> None:
        """A public result is given to everybody."""
        cache.put("s", TOOLS, None, "ann", result())
        assert read(cache, "s", TOOLS, None, "bob")["cacheScope"] == "public"

    @pytest.mark.parametrize("scope", ["private", None, "Public", 7])
    def test_for_one(self, cache: ResultCache, scope: Any) -> None:
        """Any other result is given to whoever it was for, and to nobody else."""
        cache.put("s", TOOLS, None, "ann", result(scope=scope))
        assert cache.get("s", TOOLS, None, "bob") is None
        assert cache.get("s", TOOLS, None, "ann") is not None

    def test_without_a_scope(self, cache: ResultCache) -> None:
        """A result that does not say for whom it is, is for one."""
        cache.put("s", TOOLS, None, "ann", Raw(b'{"ttlMs":1000}'))
        assert cache.get("s", TOOLS, None, "bob") is None
        assert bytes(cache.get("s", TOOLS, None, "ann") or b"") == b'{"ttlMs":1000}'

    def test_to_each_its_own(self, cache: ResultCache) -> None:
        """Several principals have a result each."""
        for name in ("ann", "bob"):
            cache.put("s", TOOLS, None, name, result(scope="private", of=name))
        assert [read(cache, "s", TOOLS, None, name)["of"] for name in ("ann", "bob")] == ["ann", "bob"]

    def test_a_newer_one(self, cache: ResultCache) -> None:
        """A newer result takes the place of an older one, whoever that was for."""
        for scope, nth in (("public", 1), ("private", 2), ("public", 3)):
            cache.put("s", TOOLS, None, "ann", result(scope=scope, nth=nth))
            assert read(cache, "s", TOOLS, None, "ann")["nth"] == nth
            assert len(cache) == 1
        assert read(cache, "s", TOOLS, None, "bob")["nth"] == 3


class RequestTests:
    """Requests that are the same."""

    def test_parameters_that_matter(self, cache: ResultCache) -> None:
        """Each page, each resource, each method and each server is kept for itself."""
        requests = [
            ("s", TOOLS, None),
            ("s", TOOLS, envelope(cursor="a")),
            ("s", TOOLS, envelope(cursor="b")),
            ("s", "prompts/list", None),
            ("s", READ, envelope(uri="a")),
            ("s", READ, envelope(uri="b")),
            ("t", TOOLS, None),
        ]
        for nth, request in enumerate(requests):
            cache.put(*request, "ann", result(nth=nth))
        assert [read(cache, *request, "ann")["nth"] for request in requests] == list(range(len(requests)))
        assert cache.get("t", "prompts/list", None, "ann") is None

    def test_parameters_that_do_not(self, cache: ResultCache) -> None:
        """A request's words about its client, and their order, do not matter."""
        cache.put("s", READ, envelope(uri="a", x=1, _meta={PROTOCOL_VERSION_KEY: "1"}), "ann", result())
        assert cache.get("s", READ, envelope(x=1, uri="a"), "ann") is not None
        cache.put("s", TOOLS, envelope(_meta={}), "ann", result())
        assert cache.get("s", TOOLS, None, "ann") is not None

    @pytest.mark.parametrize("name", ["inputResponses", "requestState"])
    def test_rounds(self, cache: ResultCache, name: str) -> None:
        """A request that answers what was asked of it has a result of its own."""
        answer = envelope(uri="a", **{name: "x"})
        cache.put("s", READ, answer, "ann", result())
        assert len(cache) == 0
        cache.put("s", READ, envelope(uri="a"), "ann", result())
        assert cache.get("s", READ, answer, "ann") is None

    @pytest.mark.parametrize("method", [*sorted(CACHEABLE), "tools/call", "prompts/get", "tasks/get"])
    def test_methods(self, cache: ResultCache, method: str) -> None:
        """Only results of methods that look something up are kept, whatever a server says of others."""
        cache.put("s", method, envelope(uri="a"), "ann", result())
        assert (cache.get("s", method, envelope(uri="a"), "ann") is not None) is (method in CACHEABLE)

    @pytest.mark.parametrize("uri", [None, 7, "x" * 10_000])
    def test_nothing_to_read(self, cache: ResultCache, uri: Any) -> None:
        """A result that could never be called outdated is not kept."""
        cache.put("s", READ, envelope(uri=uri), "ann", result())
        cache.put("s", READ, None, "ann", result())
        assert len(cache) == 0

    @pytest.mark.parametrize(
        "said",
        [
            result(0),
            result(-1),
            result("1000"),
            result(1000.5),
            result(None),
            result(resultType="input_required"),
            result(resultType=7),
            result(pad="x" * RESULT_LIMIT),
            Raw(b"{}"),
            Raw(b'{"tools":["ttlMs"]}'),
            Raw(b'["ttlMs"]'),
        ],
    )
    def test_results_that_are_not_kept(self, cache: ResultCache, said: Raw) -> None:
        """A result is kept only when it is complete, of moderate length and says that it may be kept."""
        cache.put("s", TOOLS, None, "ann", said)
        assert len(cache) == 0


class ChangeTests:
    """Results that are forgotten when a server changes."""

    @pytest.fixture
    def cache(self, cache: ResultCache) -> ResultCache:
        """A cache with a result of every kind, of two servers."""
        for server in ("s", "t"):
            for method in CACHEABLE - {READ}:
                for cursor in ("a", "b"):
                    cache.put(server, method, envelope(cursor=cursor), "ann", result())
            for uri in ("file:///a", "file:///a/b", "file:///c"):
                for scope in ("public", "private"):
                    cache.put(server, READ, envelope(uri=uri, scope=scope), "ann", result(scope=scope))
        return cache

    @staticmethod
    def gone(cache: ResultCache) -> set[str]:
        """The methods, and the resources, of which nothing is kept any more."""
        assert sum(key.server == "t" for key in cache._kept) == 2 * (len(CACHEABLE) - 1) + 6
        methods = {key.method for key in cache._kept if key.server == "s"}
        uris = {kept.uri for key, kept in cache._kept.items() if key.server == "s"}
        assert cache.size == sum(len(kept.rest) for kept in cache._kept.values())
        return (CACHEABLE - methods) | ({"file:///a", "file:///a/b", "file:///c"} - uris)

    @pytest.mark.parametrize(
        ("change", "gone"),
        [
            (("tools",), {TOOLS}),
            (("prompts",), {"prompts/list"}),
            (
                ("resources",),
                {"resources/list", "resources/templates/list", READ, "file:///a", "file:///a/b", "file:///c"},
            ),
            (("resources", "file:///c"), {"file:///c"}),
            (("resources", "file:///a"), {"file:///a"}),
            (("resources", "file:///a/b"), {"file:///a", "file:///a/b"}),
            (("resources", "file:///d"), set()),
            (("strange",), set()),
        ],
    )
    def test_changes(self, cache: ResultCache, change: tuple[str, ...], gone: set[str]) -> None:
        """A change of a list takes all its pages; one of a resource takes it, and whatever contains it."""
        cache.invalidate("s", *change)
        assert self.gone(cache) == gone

    def test_a_child_that_ended(self, cache: ResultCache) -> None:
        """The results of a server are not kept beyond its child."""
        cache.forget("s")
        assert TOOLS in self.gone(cache)
        assert {key.server for key in cache._kept} == {"t"}


class BoundTests:
    """Bounds of the results that are kept."""

    def test_count(self, cache: ResultCache) -> None:
        """When there are too many, the one that was not used for longest goes."""
        for nth in range(RESULTS_LIMIT):
            cache.put("s", TOOLS, envelope(cursor=str(nth)), "ann", result())
        assert cache.get("s", TOOLS, envelope(cursor="0"), "ann") is not None
        cache.put("s", TOOLS, envelope(cursor="new"), "ann", result())
        assert len(cache) == RESULTS_LIMIT
        found = [
            cache.get("s", TOOLS, envelope(cursor=each), "ann") is None for each in ("0", "1", "2", "new")
        ]
        assert found == [False, True, False, False]

    def test_bytes(self, cache: ResultCache) -> None:
        """Long results drive out others sooner."""
        pad = "x" * (RESULT_LIMIT - 200)
        for nth in range(20):
            cache.put("s", TOOLS, envelope(cursor=str(nth)), "ann", result(pad=pad))
            assert cache.size <= BYTES_LIMIT
        assert len(cache) == BYTES_LIMIT // RESULT_LIMIT
        assert cache.get("s", TOOLS, envelope(cursor="19"), "ann") is not None

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["put", "get", "wait", "invalidate", "forget"]),
                st.sampled_from(["s", "t"]),
                st.sampled_from(["a", "b"]),
                st.sampled_from(["ann", "bob"]),
                st.sampled_from(["public", "private"]),
            ),
            max_size=40,
        )
    )
    def test_any_order(self, steps: list[tuple[str, str, str, str, str]]) -> None:
        """A client gets no result that is another's, outdated or of another request, after any history."""
        watch = Watch()
        cache = ResultCache(watch)
        known: dict[tuple[str, str], list[Any]] = {}
        for nth, (step, server, uri, principal, scope) in enumerate(steps):
            request = (server, READ, envelope(uri=uri), principal)
            place = known.setdefault((server, uri), [])
            if step == "put":
                cache.put(*request, result(3000, scope, nth=nth))
                place.append((nth, watch.now, scope, principal))
            elif step == "wait":
                watch.now += 1
            elif step == "invalidate":
                cache.invalidate(server, "resources", uri)
                place.clear()
            elif step == "forget":
                cache.forget(server)
                known = {at: each for at, each in known.items() if at[0] != server}
            elif (found := read(cache, *request)) is not None:
                assert any(
                    each[0] == found["nth"]
                    and watch.now - each[1] < 3
                    and (each[2] == "public" or each[3] == principal)
                    for each in place
                )
            assert cache.size == sum(len(kept.rest) for kept in cache._kept.values())
