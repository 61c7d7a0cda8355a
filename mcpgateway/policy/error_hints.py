"""Messages with which programs end, their causes and the remedies.

The patterns are those of runtimes, package runners, systems and well-known libraries, whose messages hardly change over
the years.  Each takes time linear in the text: no repetition contains another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from shlex import quote

from attrs import frozen

from mcpgateway.hints import cli
from mcpgateway.policy.lock_errors import LockError, reported_lock

TEXT_LIMIT = 16_384  # characters that are searched, from the end
SHOWN, REASON = 120, 240  # characters of a line, and of a match
EDIT, RESET = cli("servers edit NAME"), cli("servers reset-circuit NAME")


@frozen
class Complaint:
    """A cause of failure that programs report.

    :ivar cause: its name, for programs.
    :ivar says: the cause, with ``{x}`` for the matched text.
    :ivar do: the remedy.
    :ivar run: the command for it, in which NAME stands for the server and VARIABLE for the matched text.
    """

    cause: str
    says: str
    do: str
    run: str = ""


@frozen
class ErrorHint:
    """A cause that was found in a program's output.

    :ivar what: the matched text that ``{x}`` stands for.
    :ivar line: the line of the match.
    """

    complaint: Complaint
    what: str
    line: str

    @property
    def says(self) -> str:
        """The cause, in words."""
        return self.complaint.says.replace("{x}", self.what)

    @property
    def do(self) -> str:
        """The remedy."""
        return self.complaint.do.replace("{x}", self.what)

    @property
    def key(self) -> str:
        """The key of the server's entry that the remedy changes, where that is known only of the text."""
        return f"env.{self.what}" if self.complaint is MISSING_VARIABLE else ""

    def run(self, server: str) -> str:
        """Return the command for the remedy; empty for none."""
        if not server:
            return ""  # a server that is not in the configuration
        values = {"NAME": server, "VARIABLE": self.what}
        return re.sub(r"\b(?:NAME|VARIABLE)\b", lambda each: quote(values[each[0]]), self.complaint.run)


VARIABLE = r"(?P<x>[A-Z][A-Z0-9]*_[A-Z0-9_]{1,60})"
ABSENT = r"(?:not (?:set|defined|found|provided)|undefined|missing|required|empty)"
MISSING_VARIABLE = Complaint(
    "missing-variable",
    "it wants the environment variable {x}",
    "give it one, which is asked for",
    cli("servers set-env NAME VARIABLE"),
)
PYTHON_MODULE = Complaint(
    "missing-module",
    "its Python has no module {x}",
    "install it for the very Python that runs the server, or have the server started by uvx",
)
FORMER_MCP = Complaint(
    "former-mcp",
    "it was written for version 1 of Python's package mcp, and runs with version 2",
    "let it have version 1: uvx --with 'mcp<2' PACKAGE in its entry, or pip install 'mcp<2' for its Python",
    EDIT,
)
NODE_MODULE = Complaint(
    "missing-module",
    "Node finds no module {x}",
    "run npm install in the server's directory; if it is a path of the server's own, build it first: npm run build",
)
CREDENTIALS = Complaint(
    "credentials",
    "the service behind it does not accept its credentials",
    'look at the keys in the "env" of its entry: expired, of another account, or with a blank too many?',
    EDIT,
)
NO_REGISTRY = Complaint(
    "registry-unreachable",
    "the package runner cannot reach its registry",
    "look at the network and at HTTPS_PROXY; what is installed once (npm install -g, uv tool install) starts offline",
)
NO_PACKAGE = Complaint(
    "no-such-package",
    "the registry has no package {x}",
    "look for a slip in the name of the package, or a version that does not exist",
    EDIT,
)
UNSOLVED = Complaint(
    "no-fitting-version",
    "uv finds no version that fits: {x}",
    "name another version of the package, or another Python: uvx --python 3.13",
    EDIT,
)
PROGRAM = Complaint(
    "command-not-found",
    "a program that it starts is not there: {x}",
    "install it, or write its absolute path: the gateway's PATH is not the one of your shell",
    EDIT,
)
NO_FILE = Complaint(
    "missing-file",
    "it does not find {x}",
    'look at the paths among its arguments; relative ones start at the "cwd" of its entry',
    EDIT,
)
PERMISSION = Complaint(
    "permission", "it may not do what it wants to", "look whose the file or directory is, and its mode"
)
RUNTIME = Complaint(
    "runtime-version",
    "it wants another version of its runtime",
    "see which one it asks for (node --version, python3 --version), and name that by its absolute path",
    EDIT,
)
ARGUMENTS = Complaint(
    "arguments", "it does not understand its arguments: {x}", 'put "args" right in its entry', EDIT
)
SERVICE = Complaint(
    "service-down",
    "something that it needs does not answer: {x}",
    "start that (a database, a desktop program, a service), then let the server be tried at once",
    RESET,
)
NAME = Complaint(
    "no-such-host", "a host name that it asks is not known: {x}", "look at the name, and at the network"
)
CERTIFICATE = Complaint(
    "certificate",
    "it does not accept a certificate",
    "give it the authority's file: NODE_EXTRA_CA_CERTS for Node, SSL_CERT_FILE for Python",
    EDIT,
)
MEMORY = Complaint(
    "memory",
    "it has no memory left",
    "give it more, or let it hold less; lazy.max_ram replaces it before that",
)
DISK = Complaint(
    "disk-full", "there is no room on the disk", "make some; caches of package runners are large"
)
DOCKER = Complaint(
    "no-container-engine",
    "the container engine does not answer",
    "start it (Docker Desktop, systemctl start docker), and see that you may use it: docker ps",
)
IMAGE = Complaint(
    "no-such-image", "there is no such image, or it may not be had: {x}", "look at its name; docker pull"
)
BROWSER = Complaint(
    "no-browser", "it finds no browser", "install the one it wants, such as npx playwright install"
)
DISPLAY = Complaint(
    "no-display", "it wants a screen", "have it run without one (headless), or give it a DISPLAY"
)
BINARY = Complaint(
    "wrong-machine", "the program is for another machine or system", "install the one for this"
)
RATE = Complaint(
    "rate-limit", "the service behind it is asked too often", "wait, or use a plan that allows more"
)
FILES = Complaint("too-many-files", "it has too many files open", "have it watch fewer directories")
STDIN = Complaint(
    "wants-a-terminal",
    "it wants to be spoken with on a terminal",
    "give it what makes it run by itself, such as -y, --stdio or --no-input",
    EDIT,
)
PROFILE = Complaint(
    "locked-profile",
    "the profile of its browser is used by another browser",
    "end that browser; where it is another session's of this server, give each its own: share: session, or --isolated",
)
STORE = Complaint(
    "locked-store",
    "a file or database of its own is used by somebody else",
    "end the other one (a copy of the server outside of the gateway?)",
)
PORT = Complaint(
    "port-in-use",
    "a port that it wants is in use",
    "see who has it (ss -ltnp), and end that one or give the server another port",
)
PYTHON_ERROR = Complaint(
    "exception", "its last words are: {x}", "that is a fault of the server's own, or of what it was given"
)

KEYS = {
    "command-not-found": "command",
    "not-executable": "command",
    "runtime-version": "command",
    "missing-directory": "cwd",
    "unreachable": "url",
    "credentials": "env",
    "certificate": "env",
    "arguments": "args",
    "missing-file": "args",
    "no-such-package": "args",
    "no-fitting-version": "args",
    "former-mcp": "args",
    "ended-at-once": "args",
}
"""The key of a server's entry that the remedy of a cause changes."""

_LOCKS = {LockError.PROFILE: PROFILE, LockError.STORE: STORE, LockError.PORT: PORT}

_WORDS: tuple[tuple[Complaint, str], ...] = (
    (
        FORMER_MCP,
        r"No module named 'mcp\.server\.fastmcp|'Server' object has no attribute '(?:list|call|get|read)_",
    ),
    (PYTHON_MODULE, r"No module named '?(?P<x>(?!mcp\.server\.fastmcp)[\w.]+)"),
    (NODE_MODULE, r"Cannot find (?:module|package) '(?P<x>[^'\n]{1,200})'"),
    (DOCKER, r"(?i:cannot connect to the docker daemon|docker\.sock)"),
    (IMAGE, r"(?i:pull access denied for|manifest for|repository) (?P<x>[\w./:-]+)[^\n]{0,40}(?:not|denied)"),
    (MISSING_VARIABLE, rf"KeyError: '{VARIABLE}'"),
    (MISSING_VARIABLE, rf"(?i:environment variables?|env vars?|variable):? [\"'`]?{VARIABLE}"),
    (
        MISSING_VARIABLE,
        rf"\b{VARIABLE}[\"'`]? (?i:(?:environment variable )?(?:is |are |was )?{ABSENT})",
    ),
    (
        MISSING_VARIABLE,
        rf"(?i:missing|please set|must set|please provide|you need to set)[^\n]{{0,40}}?\b{VARIABLE}",
    ),
    (MISSING_VARIABLE, rf"\b{VARIABLE}[\"'`]? (?i:must be)"),
    (NO_PACKAGE, r"npm (?:ERR!|error)[^\n]{0,20}404[^\n]{0,80}?'(?P<x>[^'\n]{1,200}?)(?:@\*)?'"),
    (NO_PACKAGE, r"(?i:because )(?P<x>[\w.\[\]-]{1,100}) was not found in the (?:package registry|cache)"),
    (UNSOLVED, r"(?s:Because (?![\w.\[\]-]+ was not found)(?P<x>.{1,600}?),?\s+we\s+can\s+conclude)"),
    (
        NO_REGISTRY,
        r"npm (?:ERR!|error) (?:code )?(?:ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET|network)",
    ),
    (
        NO_REGISTRY,
        r"(?:Failed to fetch|error sending request for url|request to)[^\n]{0,60}(?:pypi|pythonhosted|npmjs)",
    ),
    (
        BROWSER,
        r"Executable doesn't exist at|playwright install|Could not find Chrome|Failed to launch the browser",
    ),
    (DISPLAY, r"(?i:cannot open display|can't open display|missing x server|no display)"),
    (CREDENTIALS, r"(?i:\b401\b[^\n]{0,40}unauthori[sz]ed|unauthori[sz]ed[^\n]{0,40}\b401\b)"),
    (
        CREDENTIALS,
        r"(?i:(?:invalid|incorrect|bad|expired|wrong) (?:api[ _-]?key|access token|token|credentials|password))",
    ),
    (CREDENTIALS, r"(?i:authentication (?:failed|required|error)|not logged in|please (?:log|sign) in)"),
    (NAME, r"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) (?P<x>[\w.-]+)"),
    (NAME, r"(?P<x>(?i:name or service not known|temporary failure in name resolution))"),
    (SERVICE, r"ECONNREFUSED[ :]{0,3}(?P<x>[\w.:\[\]-]{0,80})"),
    (SERVICE, r"(?P<x>[Cc]onnection refused)"),
    (
        CERTIFICATE,
        r"CERTIFICATE_VERIFY_FAILED|self[- ]signed certificate|unable to (?:get|verify)[^\n]{0,30}certificate",
    ),
    (MEMORY, r"heap out of memory|\bMemoryError\b|Cannot allocate memory|\bENOMEM\b"),
    (DISK, r"\bENOSPC\b(?![^\n]{0,40}watch)|No space left on device"),
    (FILES, r"\bEMFILE\b|Too many open files|ENOSPC[^\n]{0,40}watch"),
    (BINARY, r"GLIBC_[\d.]+' not found|[Ee]xec format error|cannot execute binary file|Bad CPU type"),
    (
        RUNTIME,
        r"Unsupported engine|ERR_REQUIRE_ESM|EBADENGINE|(?i:requires? (?:a newer |newer )?(?:node|python))",
    ),
    (RUNTIME, r"SyntaxError: (?:Unexpected token|Cannot use import|f-string|invalid syntax)|Requires-Python"),
    (
        ARGUMENTS,
        r"(?i:unrecognized arguments?|(?:unknown|unexpected) (?:option|argument|flag|command)):? (?P<x>[^\n]{1,120})",
    ),
    (
        ARGUMENTS,
        r"the following (?:required )?arguments (?:are required|were not provided):?\s{0,8}(?P<x>[^\n]{1,120})",
    ),
    (PROGRAM, r"env: \W?(?P<x>[\w.+/-]{1,100})\W?: No such file"),
    (PROGRAM, r"(?<![\w.+/-])(?P<x>[\w.+/-]{1,100}): (?:command )?not found\b"),
    (PROGRAM, r"spawn (?P<x>[\w.+/-]{1,100}) ENOENT"),
    (NO_FILE, r"(?i:cannot access directory) (?P<x>[^,\n]{1,200})"),
    (NO_FILE, r"can't open file '(?P<x>[^'\n]{1,200})'"),
    (NO_FILE, r"(?:ENOENT|FileNotFoundError)[^\n]{0,60}?'(?P<x>[^'\n]{1,200})'"),
    (PERMISSION, r"\bEACCES\b|PermissionError|(?i:permission denied)"),
    (RATE, r"(?i:rate limit(?:ed)? exceeded|too many requests)"),
    (STDIN, r"(?i:not a tty|requires a (?:tty|terminal)|inappropriate ioctl)"),
)
_PATTERNS = tuple((complaint, re.compile(words)) for complaint, words in _WORDS)
_EXCEPTION = re.compile(
    r"^(?P<x>[A-Za-z_][\w.]{0,80}(?:Error|Exception|Exit|Interrupt)\b[^\n]{0,200})", re.MULTILINE
)

_ERROR = re.compile(
    r"^(?P<x>(?:[^\n]{0,80}?[\s\[:|])?(?:ERROR|FATAL|CRITICAL|[Ee]rror|[Ff]atal|panic)\b\]?:[^\n]{0,200})",
    re.MULTILINE,
)
"""A line that a logger, or a program, marks as an error."""


def complaints(text: str) -> list[ErrorHint]:
    """Return the causes that a program's output names, the surest first, each once."""
    text = text[-TEXT_LIMIT:]
    found: dict[str, ErrorHint] = {}
    for each in _search(text):
        found.setdefault(each.complaint.cause, each)
    return list(found.values())


def _search(text: str) -> Iterator[ErrorHint]:
    lock = reported_lock(text)
    if lock is not None:
        yield ErrorHint(_LOCKS[lock], "", "")
    is_found = lock is not None
    for complaint, pattern in _PATTERNS:
        match = pattern.search(text)
        if match is not None:
            is_found = True
            # The reason of the one spans lines, and the lines of the other are long and say no more.
            line = "" if complaint in (UNSOLVED, NO_PACKAGE) else _line(text, match.start())
            yield ErrorHint(complaint, _what(match), line)
    last = None if is_found else _last(text)
    if last is not None:
        yield ErrorHint(PYTHON_ERROR, _what(last), last["x"])


def _what(match: re.Match[str]) -> str:
    what = match.groupdict().get("x") or ""
    return " ".join(what.split())[:REASON]


def _line(text: str, at: int) -> str:
    begin = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    return cut(text[begin : end if end >= 0 else len(text)].strip())


def cut(line: str) -> str:
    """Return a line as far as it is shown, cut between words."""
    return line if len(line) <= SHOWN else f"{line[:SHOWN].rpartition(' ')[0] or line[:SHOWN]} …"


def _last(text: str) -> re.Match[str] | None:
    """Return the last exception, or else the last line that is marked as an error."""
    for pattern in (_EXCEPTION, _ERROR):
        if found := list(pattern.finditer(text)):
            return found[-1]
    return None
