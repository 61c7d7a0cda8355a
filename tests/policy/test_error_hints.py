"""The last words of failing programs, and the remedies for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.policy.error_hints import complaints

WORDS = [
    ("ModuleNotFoundError: No module named 'mcp'", "missing-module", "mcp"),
    (
        (
            "ModuleNotFoundError: No module named 'mcp.server.fastmcp'. This is mcp 2.x, where FastMCP was renamed to"
            " MCPServer and other APIs changed; pin 'mcp<2' to keep running v1 code."
        ),
        "former-mcp",
        "",
    ),
    ("AttributeError: 'Server' object has no attribute 'list_tools'", "former-mcp", ""),
    ("/usr/bin/python3: No module named mcp_server_git", "missing-module", "mcp_server_git"),
    (
        "Error: Cannot find module '/srv/dist/index.js'\nRequire stack:",
        "missing-module",
        "/srv/dist/index.js",
    ),
    (
        "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'zod' imported from /srv/a.js",
        "missing-module",
        "zod",
    ),
    ("Error: listen EADDRINUSE: address already in use :::3000", "port-in-use", ""),
    ("OSError: [Errno 98] Address already in use", "port-in-use", ""),
    ("KeyError: 'GITHUB_TOKEN'", "missing-variable", "GITHUB_TOKEN"),
    ("Error: BRAVE_API_KEY environment variable is required", "missing-variable", "BRAVE_API_KEY"),
    ("Please set the SLACK_BOT_TOKEN variable", "missing-variable", "SLACK_BOT_TOKEN"),
    ('Missing environment variable "NOTION_KEY"', "missing-variable", "NOTION_KEY"),
    ("Environment variable DATABASE_URL not found", "missing-variable", "DATABASE_URL"),
    ("OPENAI_API_KEY must be set", "missing-variable", "OPENAI_API_KEY"),
    ("Request failed: 401 Unauthorized", "credentials", ""),
    ("ValueError: Invalid API key provided", "credentials", ""),
    (
        "npm error code ENOTFOUND\nnpm error request to https://registry.npmjs.org/x",
        "registry-unreachable",
        "",
    ),
    ("npm ERR! code EAI_AGAIN", "registry-unreachable", ""),
    ("error: Failed to fetch: `https://pypi.org/simple/mcp/`", "registry-unreachable", ""),
    (
        "npm error code E404\nnpm error 404  '@acme/nope@latest' is not in this registry.",
        "no-such-package",
        "@acme",
    ),
    (
        (
            "No solution found when resolving tool dependencies:\n  ╰─▶ Because all versions of pg-mcp depend on\n"
            "      Python>=3.12, we can conclude that all versions cannot be used.\n      And because you require"
            " pg-mcp, we can conclude that your requirements are unsatisfiable."
        ),
        "no-fitting-version",
        "all versions of pg-mcp depend on Python>=3.12",
    ),
    ("Because mcp-nope was not found in the package registry and you require", "no-such-package", "mcp-nope"),
    ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "no-container-engine", ""),
    ("docker: Error: pull access denied for acme/x, repository does not exist", "no-such-image", "acme/x"),
    ("sh: 1: uvx: not found", "command-not-found", "uvx"),
    ("bash: line 1: mcp-server: command not found", "command-not-found", "mcp-server"),
    (
        "/usr/bin/env: \N{LEFT SINGLE QUOTATION MARK}node\N{RIGHT SINGLE QUOTATION MARK}: No such file or directory",
        "command-not-found",
        "node",
    ),
    ("Error: spawn git ENOENT", "command-not-found", "git"),
    ("python3: can't open file '/srv/server.py': [Errno 2] No such file", "missing-file", "/srv/server.py"),
    ("FileNotFoundError: [Errno 2] No such file or directory: 'notes.db'", "missing-file", "notes.db"),
    ("PermissionError: [Errno 13] Permission denied: '/root/x'", "permission", ""),
    ("FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", "memory", ""),
    ("Error: ENOSPC: no space left on device, write", "disk-full", ""),
    ("Error: ENOSPC: System limit for number of file watchers reached", "too-many-files", ""),
    ("ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED]", "certificate", ""),
    ("Error: connect ECONNREFUSED 127.0.0.1:5432", "service-down", "127.0.0.1:5432"),
    ("Error: getaddrinfo ENOTFOUND db.internal", "no-such-host", "db.internal"),
    ("error: unrecognized arguments: --stdoi", "arguments", "--stdoi"),
    ("server.py: error: the following arguments are required: --root", "arguments", "--root"),
    ("npm warn EBADENGINE Unsupported engine", "runtime-version", ""),
    ("/lib/libc.so.6: version `GLIBC_2.38' not found", "wrong-machine", ""),
    ("browserType.launch: Executable doesn't exist at /root/.cache", "no-browser", ""),
    ("Failed to create /home/u/SingletonLock: File exists", "locked-profile", ""),
    ("sqlite3.OperationalError: database is locked", "locked-store", ""),
    ("429 Too Many Requests", "rate-limit", ""),
    (
        "ERROR:mcp_server_git.server:. is not a valid Git repository",
        "exception",
        "not a valid Git repository",
    ),
    ("2026-01-02 03:04:05 [ERROR]: no such vault", "exception", "no such vault"),
    (
        "Traceback (most recent call last):\n  File\nacme.OddError: it is Tuesday",
        "exception",
        "acme.OddError: it is",
    ),
]


class ComplaintTests:
    """The words of programs, and their meaning."""

    @pytest.mark.parametrize(("text", "cause", "what"), WORDS)
    def test_words(self, text: str, cause: str, what: str) -> None:
        """The words of runtimes, runners and systems are known, and what they are about is named."""
        found = complaints(f"starting\n{text}\nbye")[0]
        assert found.complaint.cause == cause
        assert what in found.what
        assert "{x}" not in found.says + found.do
        assert what in found.says

    @pytest.mark.parametrize(
        "text", ["", "server is running on stdio", "INFO is required reading", "listening"]
    )
    def test_no_complaint(self, text: str) -> None:
        """A line that every server prints is no complaint."""
        assert complaints(text) == []

    def test_former_library(self) -> None:
        """A server for another version of a library is not said to lack one."""
        text = "ModuleNotFoundError: No module named 'mcp.server.fastmcp'"
        assert [each.complaint.cause for each in complaints(text)] == ["former-mcp"]

    def test_several(self) -> None:
        """A cause is named once, with the line that it was found in."""
        text = "npm warn EBADENGINE\nnpm warn EBADENGINE\nKeyError: 'ACME_KEY'"
        assert [each.complaint.cause for each in complaints(text)] == ["missing-variable", "runtime-version"]
        assert complaints(text)[0].line == "KeyError: 'ACME_KEY'"

    @given(st.text(max_size=2000))
    def test_any_text(self, text: str) -> None:
        """The hint on any text is short, or empty."""
        for each in complaints(text):
            assert len(each.what) <= 120
            assert len(each.line) <= 120
