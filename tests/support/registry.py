"""A registry of npm packages on this machine, for tests that publish versions and take the network away."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

# A server that tells how it was started; with REFUSES in the version it only works under its runner.
PROGRAM = """#!/usr/bin/env node
const fs = require('fs');
const parent = fs.readFileSync(`/proc/${process.ppid}/cmdline`, 'utf8');
if (__VERSION__.startsWith('0.') && !/npm|npx|^sh/.test(parent)) process.exit(1);
const told = () => ({ version: __VERSION__, argv: process.argv.slice(1), env: process.env, cwd: process.cwd() });
const answer = {
  initialize: params => ({
    protocolVersion: params.protocolVersion, capabilities: { tools: {} },
    serverInfo: { name: 'teller', version: __VERSION__ },
  }),
  'tools/list': () => ({ tools: [{ name: 'tell', inputSchema: { type: 'object' } }] }),
  'tools/call': () => ({ content: [{ type: 'text', text: JSON.stringify(told()) }] }),
  ping: () => ({}),
};
require('readline').createInterface({ input: process.stdin }).on('line', line => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  const known = answer[method];
  const reply = known ? { result: known(params) } : { error: { code: -32601, message: 'Method not found' } };
  console.log(JSON.stringify({ jsonrpc: '2.0', id, ...reply }));
});
"""


# A server that serves at the port it is given.
PORTED = """#!/usr/bin/env node
const answer = {
  initialize: params => ({
    protocolVersion: params.protocolVersion, capabilities: { tools: {} },
    serverInfo: { name: 'ported', version: __VERSION__ },
  }),
  'tools/list': () => ({ tools: [] }),
  ping: () => ({}),
};
console.log('listening');
require('http').createServer((request, response) => {
  let body = '';
  request.on('data', piece => { body += piece; });
  request.on('end', () => {
    const { id, method, params } = body ? JSON.parse(body) : {};
    const known = answer[method];
    response.writeHead(id === undefined ? 202 : 200, { 'Content-Type': 'application/json' });
    const reply = known ? { result: known(params) } : { error: { code: -32601, message: 'Method not found' } };
    response.end(id === undefined ? '' : JSON.stringify({ jsonrpc: '2.0', id, ...reply }));
  });
}).listen(Number(process.argv[2]), '127.0.0.1');
"""


class Registry:
    """An npm registry.

    :ivar url: where it is.
    :ivar delay_s: how long an archive takes to come.
    :ivar asked: the packages it was asked for, one for each request.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.delay_s = 0.0
        self._packages: dict[str, dict[str, bytes]] = {}
        self._manifests: dict[str, dict[str, Any]] = {}
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = registry.answer(unquote(self.path))
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *words: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *why: object) -> None:
        self.close()

    def close(self) -> None:
        """Be unreachable from now on."""
        self._server.shutdown()
        self._server.server_close()

    def publish(self, name: str, version: str, program: str = PROGRAM) -> None:
        """Add a version of the telling server, or of another, under a name."""
        text = program.replace("__VERSION__", json.dumps(version)).encode()
        manifest = json.dumps({"name": name, "version": version, "bin": {name: "cli.js"}}).encode()
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w:gz") as archive:
            for path, content in (("package/package.json", manifest), ("package/cli.js", text)):
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode = len(content), 0o755
                archive.addfile(entry, io.BytesIO(content))
        self._packages.setdefault(name, {})[version] = data.getvalue()

    def publish_installed(self, directory: Path, name: str) -> str:
        """Add a package that is installed in a directory, all that it depends on within it; return its version."""
        needed = [name]
        for each in needed:
            manifest = json.loads((directory / each / "package.json").read_text())
            needed += [other for other in manifest.get("dependencies", {}) if other not in needed]
        manifest = json.loads((directory / name / "package.json").read_text())
        keys = ("name", "version", "type", "bin", "dependencies")
        kept = {**{key: manifest[key] for key in keys}, "bundleDependencies": needed[1:]}
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w:gz", compresslevel=1) as archive:
            text = json.dumps(kept).encode()
            entry = tarfile.TarInfo("package/package.json")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
            for path in (directory / name).iterdir():
                if path.name not in ("package.json", "node_modules"):
                    archive.add(path, f"package/{path.name}")
            for each in needed[1:]:
                archive.add(directory / each, f"package/node_modules/{each}")
        version = str(manifest["version"])
        self._packages.setdefault(name, {})[version] = data.getvalue()
        self._manifests[name] = kept
        return version

    def answer(self, path: str) -> bytes | None:
        """The body of a request: a package's versions, or an archive."""
        name, _, file = path.strip("/").partition("/-/")
        self.asked.append(name)  # npm asks for itself too
        versions = self._packages.get(name)
        if versions is None:
            return None
        if file:
            time.sleep(self.delay_s)
            return versions.get(file.removeprefix(f"{name.rpartition('/')[2]}-").removesuffix(".tgz"))
        told = {version: self._manifest(name, version, data) for version, data in versions.items()}
        latest = list(versions)[-1]
        return json.dumps({"name": name, "dist-tags": {"latest": latest}, "versions": told}).encode()

    def _manifest(self, name: str, version: str, data: bytes) -> dict[str, Any]:
        digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
        file = f"{name.rpartition('/')[2]}-{version}.tgz"
        dist = {"tarball": f"{self.url}{name}/-/{file}", "integrity": f"sha512-{digest}"}
        manifest = self._manifests.get(name, {"name": name, "version": version, "bin": {name: "cli.js"}})
        return {**manifest, "dist": dist}
