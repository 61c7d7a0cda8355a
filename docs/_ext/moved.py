"""Pages at former addresses that lead to the present ones, so that links and bookmarks go on working."""

from __future__ import annotations

from os.path import relpath
from pathlib import Path

from sphinx.application import Sphinx

from mcpgateway.clientfiles.formats.clients import DIALECTS

MOVED = {
    "howto/adopt": "howto/clients.html",
    "howto/generate": "howto/clients.html#generate",
    "howto/stdio": "howto/clients.html#stdio",
    "howto/sse": "howto/clients.html#sse",
    "howto/install-servers": "howto/servers.html#install-servers",
    "howto/configure": "howto/servers.html#configure",
    "howto/backends": "howto/servers.html#backends",
    "howto/share": "howto/servers.html#share",
    "howto/access": "howto/security.html",
    "howto/oauth": "howto/security.html#oauth",
    "howto/secrets": "howto/security.html#secrets",
    "howto/operate": "howto/service.html#operate",
    "howto/listen": "howto/service.html#listen",
    "howto/monitor": "howto/observe.html",
    "howto/logs": "howto/observe.html#logs",
    "howto/trace": "howto/observe.html#trace",
    "howto/claude-code": "howto/each-client.html#client-claude-code",
    "howto/clients/index": "howto/each-client.html",
    "howto/older-gateways": "howto/migrate/index.html",
    "howto/real-clients": "explanation/real-clients.html",
    **{f"howto/clients/{name}": f"howto/each-client.html#client-{name}" for name in DIALECTS},
}
STUB = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Moved</title><meta http-equiv="refresh" content="0; url={url}"></head>
<body><main><h1>Moved</h1><p>This page is at <a href="{url}">{url}</a> now.</p></main></body>
</html>
"""


def lead(app: Sphinx, failure: Exception | None) -> None:
    """Write the pages at the former addresses."""
    if failure is None and app.builder.format == "html":
        for former, present in MOVED.items():
            path = Path(app.outdir, f"{former}.html")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(STUB.format(url=relpath(present, Path(former).parent)), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages after the build."""
    app.connect("build-finished", lead)
    return {"parallel_read_safe": True}
