"""Requests to a server's own REST API, and their answers."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.errors import InvalidParams
from mcpgateway.policy import urls
from mcpgateway.policy.relaying import SHUT, TARGET_LIMIT, forwarded_headers, returned_headers, target

BASE = "https://api.example:8443/v1/"


class TargetTests:
    """Where a path leads."""

    @pytest.mark.parametrize(
        ("base", "path", "query", "url"),
        [
            (BASE, b"pets/7", b"", "https://api.example:8443/v1/pets/7"),
            (BASE, b"/pets/7/", b"a=1&b=%20", "https://api.example:8443/v1/pets/7/?a=1&b=%20"),
            (BASE, b"", b"", "https://api.example:8443/v1/"),
            ("http://h", b"", b"q=1", "http://h?q=1"),
            ("http://h/x?key=k", b"pets", b"", "http://h/x/pets?key=k"),
            ("http://h/x?key=k", b"pets", b"n=1", "http://h/x/pets?key=k&n=1"),
            ("http://h", b"a%2Fb%20c", b"", "http://h/a%2Fb%20c"),
            ("http://h", b"user@elsewhere:80/x", b"", "http://h/user@elsewhere:80/x"),
            ("http://h", b"a..b/...", b"", "http://h/a..b/..."),
        ],
    )
    def test_below(self, base: str, path: bytes, query: bytes, url: str) -> None:
        """A path below the server is joined to the server's own URL, and its encoding stays."""
        assert target(base, path, query) == url

    @pytest.mark.parametrize(
        "path",
        [
            b"..",
            b"../admin",
            b"a/../../b",
            b"a/./b",
            b"%2e%2e/admin",
            b"%2E%2e%2Fadmin",
            b"a/..%2f..%2fb",
            b"%252e%252e/admin",
            b"%25252e%25252e%25252fadmin",
            b"..%5cadmin",
            b"a\\b",
            b"a/..;/b",
            b"//elsewhere/x",
            b"a//b",
            b"a/%2f/b",
            b"a%00b",
            b"a%0d%0aHost:%20elsewhere",
            b"a b",
            b"a\x7fb",
            b"a\xe9",
            b"a#b",
            b"a?b",
            b"%" + b"25" * 20 + b"2e",
        ],
    )
    def test_elsewhere(self, path: bytes) -> None:
        """A path that could lead upwards, to another host or out of the line is refused."""
        with pytest.raises(InvalidParams):
            target("http://h/v1", path)

    def test_too_long(self) -> None:
        """A target has a limit."""
        with pytest.raises(InvalidParams, match=str(TARGET_LIMIT)):
            target("http://h", b"a", b"b" * TARGET_LIMIT)

    @given(st.binary(max_size=60) | st.text(alphabet="./\\%25eEfF2cC;@:a?#", max_size=40).map(str.encode))
    def test_never_leaves(self, path: bytes) -> None:
        """A path of any bytes is refused, or stays at the same origin and below the same path."""
        try:
            url = target(BASE, path)
        except InvalidParams:
            return
        assert urls.read(url).origin == urls.read(BASE).origin
        way = urlsplit(url).path
        for _ in range(10):
            assert way.startswith("/v1/")
            assert ".." not in way.replace("\\", "/").split("/")
            way = unquote(way)

    @given(
        st.lists(st.text(min_size=1, max_size=10).filter(lambda each: each not in (".", "..")), max_size=4)
    )
    def test_segments_arrive(self, segments: list[str]) -> None:
        """Ordinary segments arrive as they were written, unless they hold what is refused by itself."""
        path = "/".join(quote(each, safe="") for each in segments)
        try:
            url = target("http://h/v1", path.encode())
        except InvalidParams:
            assert any(set(each) & set("./\\%;\x7f") or min(each) < " " for each in segments)
            return
        assert urlsplit(url).path == ("/v1/" + path if segments else "/v1")


class PassedOnTests:
    """The headers of a request."""

    def test_what_is_ours(self) -> None:
        """Headers for the gateway, and for a single hop, stay here; the others are passed on."""
        said = {
            b"host": b"localhost:9100",
            b"authorization": b"Bearer gateway-token",
            b"x-api-key": b"gateway-key",
            b"cookie": b"a=b",
            b"origin": b"http://localhost:9100",
            b"sec-fetch-site": b"same-origin",
            b"x-forwarded-for": b"10.0.0.1",
            b"mcp-session-id": b"s",
            b"x-mcp-project": b"p",
            b"connection": b"keep-alive, X-Hop",
            b"x-hop": b"1",
            b"transfer-encoding": b"chunked",
            b"content-length": b"3",
            b"content-type": b"application/json",
            b"accept": b"*/*",
            b"if-match": b'"v1"',
            b"x-tenant": b"t",
        }
        assert forwarded_headers(said, "http://h/v1", {}, "") == {
            "content-type": "application/json",
            "accept": "*/*",
            "if-match": '"v1"',
            "x-tenant": "t",
        }

    def test_what_is_configured(self) -> None:
        """The headers of the entry are added, and nobody can replace them."""
        sent = forwarded_headers(
            {b"x-tenant": b"mine"}, "http://h/v1", {"Authorization": "Bearer t", "X-Tenant": "its"}, ""
        )
        assert sent == {"Authorization": "Bearer t", "X-Tenant": "its"}

    @pytest.mark.parametrize(
        ("base", "url", "has_it"),
        [
            ("https://h/api", "https://h/mcp", True),
            ("https://h:8443/api", "https://h/mcp", True),
            ("http://h:3000", "http://h:3001/mcp", True),
            ("https://h", "http://h/mcp", True),
            ("http://h/api", "https://h/mcp", False),
            ("https://other/api", "https://h/mcp", False),
        ],
    )
    def test_whose_they_are(self, *, base: str, url: str, has_it: bool) -> None:
        """Headers that are configured for a server's URL are sent to no other host, and not in the clear if it was
        not.
        """
        assert bool(forwarded_headers({}, base, {"Authorization": "Bearer t"}, url)) is has_it


class BroughtBackTests:
    """The headers of an answer."""

    def test_what_comes_back(self) -> None:
        """Headers on the body and the service's own headers are returned; none that concerns the gateway's origin."""
        found = returned_headers(
            {
                b"content-type": b"text/html",
                b"etag": b'"1"',
                b"x-total-count": b"7",
                b"set-cookie": b"a=b",
                b"access-control-allow-origin": b"*",
                b"content-security-policy": b"default-src *",
                b"x-frame-options": b"ALLOWALL",
                b"location": b"http://elsewhere",
                b"transfer-encoding": b"chunked",
                b"content-length": b"3",
                b"connection": b"x-hop",
                b"x-hop": b"1",
            }
        )
        assert found == {"Content-Type": "text/html", "Etag": '"1"', "X-Total-Count": "7", **SHUT}
