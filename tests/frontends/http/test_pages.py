"""The dashboard's files are sent as they were built, to those who may look at them, and nothing else is."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import pytest

from mcpgateway import __version__
from mcpgateway.config.model import ServerSpec
from mcpgateway.frontends.http.pages import CONTENT_SECURITY_POLICY, PagesEndpoint
from tests.support.gateway_in_memory import Answer, MemoryGateway

SCRIPT, PAGE = b"let a = 1\n", b"<!doctype html>\n"
FILES = {
    "app.0a1b.js": {"type": "text/javascript; charset=utf-8", "tag": "aa", "is_fixed": True},
    "index.html": {"type": "text/html; charset=utf-8", "tag": "bb", "is_fixed": False},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A built dashboard, and a secret beside it."""
    made = tmp_path / "ui"
    made.mkdir()
    for name, content in (("app.0a1b.js", SCRIPT), ("index.html", PAGE)):
        (made / name).write_bytes(content)
        (made / f"{name}.gz").write_bytes(gzip.compress(content))
        (made / f"{name}.br").write_bytes(b"br " + content)
    (made / "index.json").write_bytes(msgspec.json.encode(FILES))
    (tmp_path / "secret.txt").write_text("secret")
    return made


@pytest.fixture
def gateway(folder: Path) -> MemoryGateway:
    """A gateway that serves it."""
    made = MemoryGateway()
    made.root._pages = PagesEndpoint(folder)
    return made


def get(gateway: MemoryGateway, path: str, method: str = "GET", **headers: str) -> Answer:
    """The answer to a browser."""
    return gateway.client("x", **headers).ask(b"", method, path, Accept="text/html,*/*")


class FileTests:
    """Files."""

    def test_a_file(self, gateway: MemoryGateway) -> None:
        """A file named by its content never changes; the page is checked each time."""
        script = get(gateway, "/ui/app.0a1b.js")
        assert (script.status, script.body) == (200, SCRIPT)
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        assert "immutable" in script.headers["cache-control"]
        page = get(gateway, "/ui/")
        assert (page.status, page.body) == (200, PAGE)
        assert page.headers["cache-control"] == "no-cache"

    @pytest.mark.parametrize("path", ["/ui/", "/ui/app.0a1b.js", "/ui/missing.js", "/ui", "/dashboard"])
    def test_guards(self, gateway: MemoryGateway, path: str) -> None:
        """Each answer has the policy that lets only the page's own script run, in no frame."""
        headers = get(gateway, path).headers
        assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY.decode().lower()
        for each in ("script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"):
            assert each in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "deny"

    @pytest.mark.parametrize(
        ("accepted", "encoding"),
        [
            ("gzip, deflate, br, zstd", "br"),
            ("gzip", "gzip"),
            ("br;q=0, gzip;q=0.5", "gzip"),
            ("br; q=0.0", ""),
            ("identity", ""),
            ("", ""),
        ],
    )
    def test_encodings(self, gateway: MemoryGateway, accepted: str, encoding: str) -> None:
        """A file is sent in the best encoding that the browser accepts."""
        found = get(gateway, "/ui/app.0a1b.js", **{"Accept-Encoding": accepted})
        assert found.headers.get("content-encoding", "") == encoding
        expected = {"br": b"br " + SCRIPT, "gzip": gzip.compress(SCRIPT), "": SCRIPT}[encoding]
        assert found.body[10:] == expected[10:]
        assert found.headers["vary"] == "accept-encoding"

    def test_tags(self, gateway: MemoryGateway) -> None:
        """A file that the browser has is not sent again; one in another encoding is another."""
        tag = get(gateway, "/ui/").headers["etag"]
        again = get(gateway, "/ui/", **{"If-None-Match": tag})
        assert (again.status, again.body) == (304, b"")
        packed = get(gateway, "/ui/", **{"If-None-Match": tag, "Accept-Encoding": "br"})
        assert packed.status == 200

    def test_head(self, gateway: MemoryGateway) -> None:
        """A HEAD request has the length and no body; other methods are refused."""
        found = get(gateway, "/ui/", "HEAD")
        assert (found.status, found.body, found.headers["content-length"]) == (200, b"", str(len(PAGE)))
        for method in ("POST", "PUT", "DELETE"):
            assert get(gateway, "/ui/", method).status == 405


class PathTests:
    """Paths."""

    @pytest.mark.parametrize("path", ["/", "/ui", "/dashboard", "/dashboard/"])
    def test_leading(self, gateway: MemoryGateway, path: str) -> None:
        """A browser at the bare address is led to the dashboard."""
        found = get(gateway, path)
        assert (found.status, found.headers["location"]) == (302, "/ui/")

    @pytest.mark.parametrize("path", ["/ui/servers", "/ui/servers/a.b/logs", "/ui/servers/%2e%2e"])
    def test_a_page_of_the_script(self, gateway: MemoryGateway, path: str) -> None:
        """The script reads the rest of a path, so each is the one page."""
        assert get(gateway, path).body == PAGE

    @pytest.mark.parametrize(
        "path",
        [
            "/ui/../secret.txt",
            "/ui/..%2fsecret.txt",
            "/ui/%2e%2e/secret.txt",
            "/ui//secret.txt",
            "/ui/index.json",
        ],
    )
    def test_nothing_else(self, gateway: MemoryGateway, path: str) -> None:
        """Only files in the table are sent."""
        found = get(gateway, path)
        assert b"secret" not in found.body
        assert found.body in (PAGE, b"") or found.status == 404

    def test_programs(self, gateway: MemoryGateway) -> None:
        """A program that asks for no page gets JSON at the bare address, and a client of MCP its answer."""
        found = gateway.client("x").ask(b"", "GET", "/", Accept="*/*")
        assert found.status == 200
        assert found.json == {
            "name": "mcpgateway",
            "version": __version__,
            "mcp": "/mcp",
            "api": "/api/v1",
            "description": "/api/v1/openapi.json",
            "dashboard": "/dashboard",
        }
        assert gateway.client("x").ask(b"", "GET", "/", Origin="https://evil.example").status == 403
        assert gateway.client("x").ask({"jsonrpc": "2.0"}, "POST", "/").status in (400, 404)

    def test_a_server_of_that_name(self) -> None:
        """A server called ui keeps its endpoint."""
        gateway = MemoryGateway(more=(ServerSpec("ui", ("ui",), {}, "/"),))
        assert gateway.client("ui").initialize().status == 200

    def test_not_built(self, gateway: MemoryGateway, tmp_path: Path) -> None:
        """A checkout without the files says how they are built, and has them as soon as they are."""
        empty = tmp_path / "empty"
        empty.mkdir()
        gateway.root._pages = PagesEndpoint(empty)
        found = get(gateway, "/ui/")
        assert found.status == 503
        assert b"make ui" in found.body
        (empty / "index.html").write_bytes(PAGE)
        (empty / "index.json").write_bytes(msgspec.json.encode({"index.html": FILES["index.html"]}))
        assert get(gateway, "/ui/").body == PAGE


class ReachTests:
    """Other machines and pages."""

    def test_other_sites(self, gateway: MemoryGateway) -> None:
        """A link of another page leads here; its scripts do not, and a foreign name is refused."""
        assert get(gateway, "/ui/", **{"Sec-Fetch-Site": "cross-site"}).status == 200
        assert get(gateway, "/ui/", Origin="https://evil.example").status == 403
        assert get(gateway, "/ui/", Host="evil.example").status == 403
