"""The questions that a client may be asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.client_requests import FULL, offers_something, refusal

METHODS = {"sampling/createMessage": "sampling", "elicitation/create": "elicitation", "roots/list": "roots"}

members = st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5), max_size=3)
capabilities = st.dictionaries(
    st.sampled_from([*METHODS.values(), "tasks", "experimental", "extensions"]),
    members | st.none() | st.booleans() | st.lists(st.integers(), max_size=2),
    max_size=4,
)


class OfferTests:
    """The capability of a client to be asked."""

    @pytest.mark.parametrize("name", ["roots", "sampling", "elicitation"])
    def test_each_of_them(self, name: str) -> None:
        """A single capability that a server can ask for is enough, even an empty one."""
        assert offers_something({name: {}})
        assert offers_something({"experimental": {}, name: {"x": 1}})

    @pytest.mark.parametrize("declared", [{}, {"experimental": {"sampling": {}}}, {"tasks": {"list": {}}}])
    def test_nothing(self, declared: dict[str, Any]) -> None:
        """A capability that no server asks for does not count."""
        assert not offers_something(declared)

    def test_full_is_everything(self) -> None:
        """A child that is told of all there is may ask everything, in every mode, with tools or without."""
        assert offers_something(FULL)
        for method in METHODS:
            for params in ({}, {"mode": "form"}, {"mode": "url"}, {"tools": []}):
                assert refusal(method, params, FULL) is None


class RefusalTests:
    """Questions that are refused in the client's place."""

    @pytest.mark.parametrize(("method", "needed"), METHODS.items())
    def test_not_offered(self, method: str, needed: str) -> None:
        """A question of an undeclared capability is refused as an unknown method."""
        others = {name: {} for name in METHODS.values() if name != needed}
        refused = refusal(method, {}, others)
        assert refused == (-32601, f"Method not found: {method} (the client does not offer {needed})")
        assert refusal(method, {}, {needed: {}}) is None

    @pytest.mark.parametrize(
        ("declared", "mode", "missing"),
        [
            ({}, None, None),
            ({}, "form", None),
            ({}, "url", "url"),
            ({"form": {}}, "form", None),
            ({"form": {}}, "url", "url"),
            ({"url": {}}, "url", None),
            ({"url": {}}, "form", "form"),
            ({"url": {}}, None, "form"),
            ({"form": {}, "url": {}}, "form", None),
            ({"form": {}, "url": {}}, "url", None),
            ({"form": {}}, "telepathy", "telepathy"),
            (None, "form", None),
            (True, "url", "url"),
        ],
    )
    def test_modes_of_elicitation(self, declared: Any, mode: str | None, missing: str | None) -> None:
        """A client is asked in the modes it declared; one that declared none knows the form only."""
        params = {} if mode is None else {"mode": mode}
        why = f"Invalid params: the client does not offer elicitation.{missing}"
        expected = None if missing is None else (-32602, why)
        assert refusal("elicitation/create", params, {"elicitation": declared}) == expected

    @pytest.mark.parametrize("tools", [[], [{"name": "x"}], None])
    def test_sampling_with_tools(self, tools: Any) -> None:
        """A client that did not declare tools in sampling is not given any."""
        params = {"messages": [], "tools": tools}
        assert refusal("sampling/createMessage", params, {"sampling": {"tools": {}}}) is None
        why = "Invalid params: the client does not offer sampling.tools"
        for declared in ({}, {"context": {}}, None, "tools"):
            assert refusal("sampling/createMessage", params, {"sampling": declared}) == (-32602, why)
        assert refusal("sampling/createMessage", {"messages": []}, {"sampling": {}}) is None

    @given(st.text(max_size=20).filter(lambda method: method not in METHODS), members, capabilities)
    def test_methods_of_their_own(
        self, method: str, params: dict[str, Any], declared: dict[str, Any]
    ) -> None:
        """A method of a server's and a client's own is passed on, whatever was declared."""
        assert refusal(method, params, declared) is None

    @given(st.sampled_from(sorted(METHODS)), members, capabilities)
    def test_never_breaks(self, method: str, params: dict[str, Any], declared: dict[str, Any]) -> None:
        """The verdict is none, or a refusal that names the missing capability, for any declaration and question."""
        found = refusal(method, params, declared)
        if METHODS[method] not in declared:
            assert found is not None
        if found is not None:
            code, text = found
            assert code in {-32601, -32602}
            assert METHODS[method] in text

    @given(st.sampled_from(sorted(METHODS)), members, capabilities)
    def test_who_is_asked_offers_something(
        self, method: str, params: dict[str, Any], declared: dict[str, Any]
    ) -> None:
        """A client that is asked offers something that a server could ask for."""
        assert refusal(method, params, declared) is not None or offers_something(declared)
