"""The envelope of the modern era: the members of every request that describe its client (MCP 2026-07-28, basic).

This era has no handshake and no sessions.  Each request names its revision, and the client's name and capabilities, in
``params._meta``; over HTTP headers repeat some of that, and must agree with the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Raw

from mcpgateway.errors import (
    GatewayError,
    HandshakeRefused,
    HeaderMismatch,
    MissingCapability,
    MissingEnvelope,
    UnservedRevision,
)
from mcpgateway.protocol import jsonrpc, legacy, peek
from mcpgateway.protocol.jsonrpc import PROTOCOL_VERSION_KEY, URI_LIMIT, Envelope, Message
from mcpgateway.protocol.versions import LATEST_MODERN, MODERN, is_later, is_legacy

PREFIX = "io.modelcontextprotocol/"
CAPABILITIES_KEY = PREFIX + "clientCapabilities"
INFO_KEY = PREFIX + "clientInfo"
LEVEL_KEY = PREFIX + "logLevel"
SERVER_INFO_KEY = PREFIX + "serverInfo"
SUBSCRIPTION_KEY = PREFIX + "subscriptionId"
TASKS_EXTENSION = PREFIX + "tasks"

INFO_LIMIT = 4096  # bytes of a client's own name and version that are kept

_SERVED = frozenset(f'"{revision}"'.encode() for revision in MODERN)
_TASKS = TASKS_EXTENSION.encode()

DISCOVER, LISTEN = "server/discover", "subscriptions/listen"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
INPUT_REQUIRED = "input_required"

REMOVED = frozenset(
    "initialize ping logging/setLevel resources/subscribe resources/unsubscribe tasks/list tasks/result".split()
)
"""The methods of the legacy era that no modern server knows."""

NAMED = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""The parameter that the header ``Mcp-Name`` repeats, by method."""


def is_modern(message: Message, header: bytes | None) -> bool:
    """True if a client's message is of the modern era.

    :param header: its ``MCP-Protocol-Version``.
    """
    if message.meta is not None and PROTOCOL_VERSION_KEY in message.meta:
        return True
    if header is None or is_legacy(header):
        return False
    # An "initialize" without an envelope is of the legacy era.
    return message.method != "initialize" and is_later(header)


def check(message: Message, headers: Mapping[bytes, bytes] | None) -> None:
    """Check the mandatory parts of a request: the envelope, then headers, then a revision that is served.

    :param headers: the headers of the request; None where none repeat the body.
    :raise MissingEnvelope: the request does not name its revision and its client's capabilities.
    :raise HeaderMismatch: a header that repeats a part of the body is missing, or differs.
    :raise UnservedRevision: the revision is not served.
    """
    if not _is_plainly_right(message, headers):
        check_envelope(message)
        if headers is not None:
            check_headers(message, headers)
        check_revision(message)


def _is_plainly_right(message: Message, headers: Mapping[bytes, bytes] | None) -> bool:
    # The usual form, which is recognised without decoding.
    meta = message.meta
    if meta is None or headers is None or PROTOCOL_VERSION_KEY not in meta or CAPABILITIES_KEY not in meta:
        return False
    revision = bytes(meta[PROTOCOL_VERSION_KEY])
    if revision not in _SERVED or bytes(meta[CAPABILITIES_KEY])[:1] != b"{":
        return False
    if headers.get(b"mcp-protocol-version") != revision[1:-1]:
        return False
    if headers.get(b"mcp-method") != message.method.encode(errors="surrogatepass"):
        return False
    member = NAMED.get(message.method)
    if member is None:
        return True
    header, named = headers.get(b"mcp-name"), (message.params or {}).get(member)
    return header is not None and named is not None and _is_said(header, named)


def check_envelope(message: Message) -> None:
    """Check that a request names its revision and its client's capabilities.

    :raise MissingEnvelope: one of them is missing.
    """
    meta = message.meta or {}
    if bytes(meta.get(PROTOCOL_VERSION_KEY, b""))[:1] != b'"':
        raise MissingEnvelope(f'Invalid params: _meta["{PROTOCOL_VERSION_KEY}"] must be a string')
    if bytes(meta.get(CAPABILITIES_KEY, b""))[:1] != b"{":
        raise MissingEnvelope(f'Invalid params: _meta["{CAPABILITIES_KEY}"] must be an object')


def check_headers(message: Message, headers: Mapping[bytes, bytes]) -> None:
    """Check that the headers which repeat a part of the body agree with it.

    :raise HeaderMismatch: a header is missing, or differs.
    """
    version = headers.get(b"mcp-protocol-version")
    said = (message.meta or {})[PROTOCOL_VERSION_KEY]
    if version is None or (b'"%b"' % version != bytes(said) and not _is_text(version, said)):
        raise HeaderMismatch("Header mismatch: MCP-Protocol-Version must be the revision in the body's _meta")
    if headers.get(b"mcp-method") != message.method.encode(errors="surrogatepass"):
        raise HeaderMismatch("Header mismatch: Mcp-Method must be the body's method")
    member = NAMED.get(message.method)
    if member is None:
        return
    header, named = headers.get(b"mcp-name"), (message.params or {}).get(member)
    if (header is None) is not (named is None) or (
        header is not None and named is not None and not _is_said(header, named)
    ):
        raise HeaderMismatch(f"Header mismatch: Mcp-Name must be the body's params.{member}")


def _is_text(header: bytes, value: Raw) -> bool:
    return peek.text({"value": value}, "value") == header.decode("latin-1")


def _is_said(header: bytes, value: Raw) -> bool:
    text = bytes(value)
    if b"\\" not in text and b'"%b"' % header == text and header.isascii() and not header.startswith(b"=?"):
        return True
    from mcpgateway.protocol.param_headers import decode_value  # few names need it

    try:
        return jsonrpc.read_string(value, "name", URI_LIMIT) == decode_value(header)
    except GatewayError:
        return False


def check_revision(message: Message) -> None:
    """Check that a request is of a revision that is served.

    :raise UnservedRevision: the revision is not served.
    """
    said = (message.meta or {}).get(PROTOCOL_VERSION_KEY, jsonrpc.NULL)
    if bytes(said) in _SERVED:
        return
    requested = peek.text(message.meta, PROTOCOL_VERSION_KEY) or ""
    if requested not in MODERN:
        raise unserved(requested)


def unserved(requested: str) -> UnservedRevision:
    """Return the error for a revision that is not served, with those that are."""
    return UnservedRevision(requested, MODERN)


def info_of(message: Message) -> bytes:
    """Return the client's own name and version, as JSON; empty if it does not say them, or at length."""
    found = (message.meta or {}).get(INFO_KEY)
    return bytes(found) if found is not None and len(bytes(found)) <= INFO_LIMIT else b""


def has_tasks(meta: Envelope | None) -> bool:
    """True if the client of a request declares the tasks extension."""
    declared = (meta or {}).get(CAPABILITIES_KEY)
    if declared is None or _TASKS not in bytes(declared):
        return False
    return TASKS_EXTENSION in peek.members(peek.members({"declared": declared}, "declared"), "extensions")


def check_tasks(meta: Envelope | None) -> None:
    """Check that the client of a request for a task supports tasks.

    :raise MissingCapability: the client does not declare them.
    """
    if not has_tasks(meta):
        required: dict[str, Any] = {"extensions": {TASKS_EXTENSION: {}}}
        raise MissingCapability(f"Missing required client capability: {TASKS_EXTENSION}", required)


def level(meta: Envelope | None) -> str | None:
    """Return the least log level of which the client of a request wants messages; None if it wants none."""
    return peek.text(meta, LEVEL_KEY) if meta is not None and LEVEL_KEY in meta else None


def own_meta(version: str, capabilities: Any = None) -> dict[str, Any]:
    """Return the envelope of the gateway's own requests."""
    return {
        PROTOCOL_VERSION_KEY: LATEST_MODERN,
        INFO_KEY: {"name": "mcpgateway", "version": version},
        CAPABILITIES_KEY: capabilities or {},
    }


def check_discovery(reply: Envelope) -> Envelope:
    """Return the ``DiscoverResult`` in a server's reply, its first level decoded.

    :raise HandshakeRefused: the reply is an error, or malformed, or names no revision that is served here.
    """
    if "error" in reply:
        raise HandshakeRefused(f"the server refused {DISCOVER}: {legacy.error_text(reply['error'])}")
    try:
        discovered = jsonrpc.read_object(reply["result"], "result")
        versions = jsonrpc.value(discovered["supportedVersions"], list)
    except (KeyError, GatewayError):
        raise HandshakeRefused(
            f"the server answered {DISCOVER} with something that is no DiscoverResult"
        ) from None
    if not any(each in MODERN for each in versions):
        raise HandshakeRefused("the server speaks no revision of the modern era that is served here")
    return discovered


def served_only(discovered: Raw) -> Raw:
    """Return a ``DiscoverResult`` without the revisions that are not served here."""
    members = peek.members({"result": discovered}, "result")
    try:
        said = jsonrpc.value(members["supportedVersions"], list)
    except (KeyError, GatewayError):
        return discovered
    served = [each for each in said if each in MODERN]
    return discovered if served == said else jsonrpc.raw(members | {"supportedVersions": jsonrpc.raw(served)})


def subscription(message: Envelope) -> Raw | None:
    """Return the id of the ``subscriptions/listen`` request to which a notification belongs; None for none."""
    return peek.members(peek.members(message, "params"), "_meta").get(SUBSCRIPTION_KEY)
