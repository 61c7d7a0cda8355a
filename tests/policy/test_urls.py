"""Where URLs lead, and whether they may."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.errors import BackendError
from mcpgateway.policy import urls
from mcpgateway.policy.urls import Nearness, UrlPlace, nearness, permitted


class ReadTests:
    """The parts of a URL."""

    @pytest.mark.parametrize(
        ("url", "place"),
        [
            ("http://localhost:3001/mcp", UrlPlace("http", "localhost", 3001, "/mcp")),
            ("https://API.example.com", UrlPlace("https", "api.example.com", 443, "/")),
            ("https://h/a?key=s3#part", UrlPlace("https", "h", 443, "/a?key=s3")),
            ("http://[::1]:80/", UrlPlace("http", "::1", 80, "/")),
            (
                "http://bücher.example/é?ü=1",
                UrlPlace("http", "xn--bcher-kva.example", 80, "/%C3%A9?%C3%BC=1"),
            ),
            ("http://h/%7Ea%2f?x=%20+", UrlPlace("http", "h", 80, "/%7Ea%2f?x=%20+")),
            ("wss://h/ws", UrlPlace("wss", "h", 443, "/ws")),
            ("http://2130706433/", UrlPlace("http", "2130706433", 80, "/")),
        ],
    )
    def test_places(self, url: str, place: UrlPlace) -> None:
        """Scheme, host and port are made plain; path and query stay as they are written."""
        assert urls.read(url) == place

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "localhost:3001/mcp",
            "ftp://h/",
            "file:///etc/passwd",
            "http://",
            "http:///a",
            "http://u:p@h/",
            "http://h:99999/",
            "http://h:x/",
            "http://[::1",
            "http://[fe80::1%25eth0]/",
            "http://h/\r\nX: y",
            "http://h /",
            "http://h\\@evil/",
            "http://a..\udcff/",
            "http://h<x>/",
            "http://*/",
            f"http://{'é' * 80}/",
        ],
    )
    def test_no_places(self, url: str) -> None:
        """A URL that leads nowhere, or has two readings, is refused without being shown."""
        with pytest.raises(BackendError) as caught:
            urls.read(url)
        assert url == "" or url not in str(caught.value)

    @given(st.text())
    def test_anything(self, text: str) -> None:
        """Any text is either a place or a `BackendError`."""
        for url in (text, f"http://{text}", f"http://h/{text}"):
            try:
                place = urls.read(url)
            except BackendError:
                continue
            assert f"{place.host}{place.target}".isascii()
            assert not set(f"{place.host}{place.target}") & set(" \r\n\0")

    def test_what_is_shown(self) -> None:
        """The query is in no repr, and an address names host and port only."""
        place = urls.read("https://[2001:db8::1]/a?key=secret")
        assert "secret" not in repr(place)
        assert (place.address, place.authority, place.origin) == (
            "[2001:db8::1]:443",
            "[2001:db8::1]",
            "https://[2001:db8::1]:443",
        )
        assert urls.read("http://h:8080/").authority == "h:8080"


class RedirectTests:
    """Redirects, and endpoints that a server names."""

    @pytest.mark.parametrize(
        ("location", "url"),
        [
            ("/mcp/", "https://h/mcp/"),
            ("https://h/mcp/", "https://h/mcp/"),
            ("https://H:443/x", "https://H:443/x"),
            ("other?session=1", "https://h/a/other?session=1"),
            ("//h/x", "https://h/x"),
        ],
    )
    def test_same_origin(self, location: str, url: str) -> None:
        """A redirect within one origin is followed."""
        assert urls.follow("POST", 307, "https://h/a/mcp", location) == url

    @pytest.mark.parametrize(
        "location",
        [
            "https://evil/mcp",
            "http://h/mcp",
            "https://h:444/mcp",
            "//evil/x",
            "https://h@evil/",
            "https://h.evil/",
            "javascript:alert(1)",
            "https://h\\.evil/",
            "http://[",
        ],
    )
    def test_other_origin(self, location: str) -> None:
        """Another scheme, host or port is another origin, and an error says where it would have led."""
        with pytest.raises(BackendError, match=r"it redirects \(HTTP 308\) to ") as caught:
            urls.follow("POST", 308, "https://h/mcp", location)
        assert "/mcp" not in str(caught.value)

    @pytest.mark.parametrize("status", [301, 302, 303])
    def test_method(self, status: int) -> None:
        """A redirect that turns a POST into a GET is not followed; a GET stays one."""
        with pytest.raises(BackendError, match="would lose the message"):
            urls.follow("POST", status, "https://h/mcp", "/mcp/")
        assert urls.follow("GET", status, "https://h/mcp", "/mcp/") == "https://h/mcp/"


class NearnessTests:
    """The kind of an address."""

    @pytest.mark.parametrize(
        ("address", "kind"),
        [
            ("93.184.216.34", Nearness.PUBLIC),
            ("2606:2800:220:1::1", Nearness.PUBLIC),
            ("127.0.0.1", Nearness.LOOPBACK),
            ("127.9.9.9", Nearness.LOOPBACK),
            ("::1", Nearness.LOOPBACK),
            ("::ffff:127.0.0.1", Nearness.LOOPBACK),
            ("10.1.2.3", Nearness.PRIVATE),
            ("192.168.1.1", Nearness.PRIVATE),
            ("172.16.0.1", Nearness.PRIVATE),
            ("100.64.0.1", Nearness.PRIVATE),
            ("fd12::1", Nearness.PRIVATE),
            ("169.254.1.1", Nearness.LINK),
            ("fe80::1", Nearness.LINK),
            ("fe80::1%eth0", Nearness.LINK),
            ("169.254.169.254", Nearness.SPECIAL),
            ("::ffff:169.254.169.254", Nearness.SPECIAL),
            ("64:ff9b::a9fe:a9fe", Nearness.SPECIAL),
            ("64:ff9b::7f00:1", Nearness.LOOPBACK),
            ("2002:7f00:1::", Nearness.LOOPBACK),
            ("100.100.100.200", Nearness.SPECIAL),
            ("168.63.129.16", Nearness.SPECIAL),
            ("fd00:ec2::254", Nearness.SPECIAL),
            ("192.0.0.1", Nearness.SPECIAL),
            ("0.0.0.0", Nearness.SPECIAL),
            ("::", Nearness.SPECIAL),
            ("224.0.0.1", Nearness.SPECIAL),
            ("255.255.255.255", Nearness.SPECIAL),
            ("127.1", Nearness.SPECIAL),
            ("0x7f.1", Nearness.SPECIAL),
            ("2130706433", Nearness.SPECIAL),
            ("localhost", Nearness.SPECIAL),
        ],
    )
    def test_kinds(self, address: str, kind: Nearness) -> None:
        """Every spelling of an address is the kind of place it leads to."""
        assert nearness(address) is kind

    def test_permitted(self) -> None:
        """A server sends us to public addresses, or to places such as its own; never to where keys are kept."""
        found = ["93.184.216.34", "10.0.0.1", "127.0.0.1", "169.254.1.1", "169.254.169.254"]
        assert permitted(found, [Nearness.PUBLIC]) == ["93.184.216.34"]
        assert permitted(found, [Nearness.PRIVATE]) == ["93.184.216.34", "10.0.0.1"]
        assert permitted(found, [Nearness.LOOPBACK]) == ["93.184.216.34", "127.0.0.1"]
        assert permitted(found, [Nearness.SPECIAL]) == ["93.184.216.34"]

    def test_ourselves(self) -> None:
        """A connection to a port of ours that begins and ends on this machine is one to ourselves."""
        assert urls.is_ourselves("127.0.0.1", "127.0.0.1", 9100, {9100})
        assert urls.is_ourselves("127.0.0.1", "127.0.0.2", 9100, {9100})
        assert urls.is_ourselves("10.0.0.5", "10.0.0.5", 9100, {9100})
        assert not urls.is_ourselves("10.0.0.5", "10.0.0.6", 9100, {9100})
        assert not urls.is_ourselves("127.0.0.1", "127.0.0.1", 9101, {9100})
