"""JSON-RPC 2.0 messages: bytes to envelopes, ids and progress tokens spliced, envelopes to bytes.

# Note [Only the first level is decoded]
A message is read as ``dict[str, Raw]``: its member names are decoded, its values stay the bytes that were received.  So
unknown members, integers of any size and the text of floats survive unchanged, a duplicate key is resolved before one
of its values could be checked and the other forwarded, and a large result costs a scan and a copy, nothing more.
"""

from __future__ import annotations

import re
from enum import Enum
from itertools import accumulate
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from mcpgateway.errors import GatewayError, InvalidParams, MalformedMessage, ParseError
from mcpgateway.records import Record

Envelope = dict[str, Raw]

DEPTH_LIMIT = (
    128  # pydantic refuses at 200 and the standard library near 1000; both drop the message silently
)
ID_LIMIT = 4096  # bytes; ids are kept for as long as a call runs
METHOD_LIMIT = 1024  # characters
URI_LIMIT = 8192  # characters; the limit of browsers
BATCH_LIMIT = 100  # the limit of the SDKs

PROTOCOL_VERSION_KEY = (
    "io.modelcontextprotocol/protocolVersion"  # marks a 2026-07-28 request (protocol revision)
)

T = TypeVar("T")

VERSION = Raw(b'"2.0"')
OBJECT = ord("{")  # the first byte of an object
_INTEGER = re.compile(rb"-?(0|[1-9][0-9]*)\Z")
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed bytes: one level deeper, one level back
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_PAIR = rb"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE = rb"u([dDeE])([89a-fA-F][0-9a-fA-F]{2})"  # or one of its stand-ins
_ESCAPES = re.compile(rb"\\(?:" + _PAIR + rb"|" + _LONE + rb"|.)", re.DOTALL)
_STAND_INS = re.compile("[\ue800-\uefff]")

_read_members = msgspec.json.Decoder(Envelope).decode
_read_list = msgspec.json.Decoder(list[Raw]).decode
_read_text = msgspec.json.Decoder(str).decode
_read_integer = msgspec.json.Decoder(int).decode
_encode = msgspec.json.Encoder().encode


class MessageKind(Enum):
    """The kind of a message, by its members."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    RESPONSE = "response"


class Message(Record):
    """One checked message of a client.

    :ivar method: the method's name; empty for a response.
    :ivar id: the id as the bytes that were received; empty for a notification.
    :ivar params: the first level of ``params``; None when absent.
    :ivar meta: the first level of ``params._meta``; None when absent.
    """

    kind: MessageKind
    envelope: Envelope
    method: str = ""
    id: bytes = b""
    params: Envelope | None = None
    meta: Envelope | None = None

    @property
    def token(self) -> bytes | None:
        """Return the progress token as the bytes that were received; None for none.

        :raise InvalidParams: the token is neither a string nor an integer.
        """
        if self.meta is None or "progressToken" not in self.meta:
            return None
        return _identifier(self.meta["progressToken"], InvalidParams, "_meta.progressToken")


def own_request(
    method: str, params: Envelope | None = None, identifier: bytes = b"0", meta: Envelope | None = None
) -> Message:
    """Return a request of the gateway's own in the form of a client's message.

    :param params: its first level; None for none.
    :param identifier: its id for the receiver of the answer; the server gets a number instead.
    :param meta: the first level of its ``_meta``, where that is needed.
    """
    envelope = {"jsonrpc": VERSION, "id": Raw(b"0"), "method": raw(method)}
    if params is not None:
        envelope["params"] = raw(params)
    return Message(MessageKind.REQUEST, envelope, method, identifier, params, meta)


def read_client(body: bytes) -> Message:
    """Read and check one message of a client.

    Messages that a stdio server would drop without an answer are refused here: batches, null or fractional ids,
    ``params`` that are no object, invalid UTF-8, absurd depth.

    :raise ParseError: not JSON, not UTF-8, or nested deeper than `DEPTH_LIMIT`.
    :raise MalformedMessage: JSON, but no JSON-RPC 2.0 message.
    """
    envelope = decode(body)
    if body.count(b"[") + body.count(b"{") > DEPTH_LIMIT:
        _check_depth(body)
    if envelope.get("jsonrpc") != VERSION:
        raise MalformedMessage('Invalid Request: "jsonrpc" must be "2.0"')
    if "method" not in envelope:
        return _response(envelope)
    method = read_string(envelope["method"], "method")
    message = Message(MessageKind.NOTIFICATION, envelope, method)
    if "id" in envelope:
        message.kind = MessageKind.REQUEST
        message.id = _identifier(envelope["id"], MalformedMessage, "id")
    if "params" in envelope:
        message.params = params = read_object(envelope["params"], "params")
        if "_meta" in params:
            message.meta = read_object(params["_meta"], "params._meta")
    return message


def _response(envelope: Envelope) -> Message:
    if ("result" in envelope) == ("error" in envelope):
        raise MalformedMessage("Invalid Request: neither a request nor a response")
    if "id" not in envelope:
        raise MalformedMessage('Invalid Request: a response needs an "id"')
    return Message(MessageKind.RESPONSE, envelope, id=_identifier(envelope["id"], MalformedMessage, "id"))


def is_object(raw: Raw) -> bool:
    """True if a decoded value is an object; its content is not read."""
    return memoryview(raw)[0] == OBJECT


def decode(data: bytes) -> Envelope:
    """Decode the first level of one JSON object, from either side.

    :raise ParseError: not JSON, not UTF-8, or nested deeper than Python's stack.
    :raise MalformedMessage: JSON, but no object.
    """
    if not data.isascii():
        _check_utf8(data)
    try:
        return _read_members(data)
    except msgspec.ValidationError:
        raise MalformedMessage("Invalid Request: one JSON-RPC object is expected") from None
    except msgspec.DecodeError as why:
        return _decode_surrogates(data, why)
    except RecursionError:
        raise ParseError("Parse error: nested too deep") from None


def _check_utf8(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as why:
        raise ParseError(f"Parse error: not UTF-8 at byte {why.start}") from None


def _check_depth(data: bytes) -> None:
    # Only for decoded messages: in half a string the expression would look for its end again from every quote.
    brackets = _STRINGS.sub(b"", data).translate(_STEPS, _NO_BRACKETS)
    if max(accumulate(memoryview(brackets).cast("b")), default=0) > DEPTH_LIMIT:
        raise ParseError(f"Parse error: nested deeper than {DEPTH_LIMIT} levels")


def _decode_surrogates(data: bytes, why: msgspec.DecodeError) -> Envelope:
    # JavaScript writes a lone surrogate as an escape, which is legal JSON that msgspec refuses.  Each is read as a
    # private character of the same length, and put back into the values, which so keep every other byte.
    if b"\\ud" not in data and b"\\uD" not in data:
        raise ParseError(f"Parse error: {why}") from None
    readable = _ESCAPES.sub(_stand_in, data)
    try:
        members = _read_members(readable)
    except msgspec.ValidationError:
        raise MalformedMessage("Invalid Request: one JSON-RPC object is expected") from None
    except (msgspec.DecodeError, RecursionError):
        raise ParseError(f"Parse error: {why}") from None
    if any(map(_STAND_INS.search, members)):
        raise ParseError("Parse error: a member's name is not Unicode") from None
    return {name: Raw(_ESCAPES.sub(_put_back, bytes(value))) for name, value in members.items()}


def _stand_in(escape: re.Match[bytes]) -> bytes:
    digit, digits = escape[1], escape[2]
    if digit is None:
        return escape[0]
    if digit in b"eE":
        return chr(int(digit + digits, 16)).encode()  # an original stand-in is written out
    return b"\\u" + (b"e" if digit == b"d" else b"E") + digits


def _put_back(escape: re.Match[bytes]) -> bytes:
    digit, digits = escape[1], escape[2]
    return escape[0] if digit is None else b"\\u" + (b"d" if digit == b"e" else b"D") + digits


def read_object(raw: Raw, name: str) -> Envelope:
    """Decode the first level of a member that must be an object.

    :raise MalformedMessage: the member is no object.
    """
    try:
        return _read_members(raw)
    except msgspec.ValidationError:
        raise MalformedMessage(f'Invalid Request: "{name}" must be an object') from None
    except msgspec.DecodeError as why:
        return _decode_surrogates(bytes(raw), why)
    except RecursionError:
        raise ParseError("Parse error: nested too deep") from None


def read_batch(body: bytes) -> list[bytes] | None:
    """Return the messages of a batch, each as its bytes; None where the body is no array (JSON-RPC 2.0, section 6).

    :raise MalformedMessage: the batch is empty, or has more than `BATCH_LIMIT` messages.
    """
    if not body.lstrip(b" \t\r\n").startswith(b"["):
        return None
    if not body.isascii():
        _check_utf8(body)
    try:
        found = read_list(Raw(body), "batch")
    except MalformedMessage:
        return None  # the reader of single messages reports the error
    if not 0 < len(found) <= BATCH_LIMIT:
        raise MalformedMessage(f"Invalid Request: a batch has 1 to {BATCH_LIMIT} messages")
    return [bytes(each) for each in found]


def read_list(raw: Raw, name: str) -> list[Raw]:
    """Decode the first level of a member that must be an array.

    :raise MalformedMessage: the member is no array.
    """
    try:
        return _read_list(raw)
    except (msgspec.MsgspecError, RecursionError):
        readable = _ESCAPES.sub(_stand_in, bytes(raw))  # as in `_decode_surrogates`
    try:
        return [Raw(_ESCAPES.sub(_put_back, bytes(each))) for each in _read_list(readable)]
    except (msgspec.MsgspecError, RecursionError):
        raise MalformedMessage(f'Invalid Request: "{name}" must be an array') from None


def value(raw: Raw, kind: type[T]) -> T:
    """Return a whole member as a value; for members that are read, never for those that are passed on.

    :raise MalformedMessage: the member is of another kind.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, RecursionError):
        raise MalformedMessage(f"Invalid Request: expected {kind.__name__}") from None


def read_string(raw: Raw, name: str, limit: int = METHOD_LIMIT) -> str:
    """Decode a short member that must be a string.

    :raise MalformedMessage: the member is no string, or too long.
    """
    try:
        text = _read_text(raw)
    except msgspec.MsgspecError:
        raise MalformedMessage(f'Invalid Request: "{name}" must be a string') from None
    if len(text) > limit:
        raise MalformedMessage(f'Invalid Request: "{name}" is longer than {limit} characters')
    return text


def _identifier(raw: Raw, fault: type[GatewayError], name: str) -> bytes:
    text = bytes(raw)
    if len(text) > ID_LIMIT:
        raise fault(f'Invalid Request: "{name}" is longer than {ID_LIMIT} bytes')
    if text[:1] != b'"' and not _INTEGER.match(text):
        raise fault(f'Invalid Request: "{name}" must be a string or an integer')
    return text


def same_identifier(one: bytes, other: bytes) -> bool:
    """True if two ids are the same JSON value; 7 and "7" are not."""
    if one == other:
        return True
    if one[:1] != b'"' or other[:1] != b'"':
        return False
    try:
        return _read_text(one) == _read_text(other)
    except msgspec.MsgspecError:
        return False


def integer(raw: Raw | None) -> int | None:
    """Return a member as an integer, None where it is none; for ids and tokens that the gateway has issued."""
    if raw is None:
        return None
    try:
        return _read_integer(raw)
    except msgspec.MsgspecError:
        return None


def identifier(raw: Raw | None) -> bytes | None:
    """Return a member as the bytes of a valid id; None where it is none."""
    if raw is None:
        return None
    try:
        return _identifier(raw, MalformedMessage, "id")
    except MalformedMessage:
        return None


def encode(envelope: Envelope) -> bytes:
    """Return the message as bytes; every untouched value stays byte for byte."""
    return _encode(envelope)


def line(envelope: Envelope) -> bytes:
    """Return the message as one line for a child's stdin.

    A newline between tokens of a raw value would end the line early and let its sender forge a second one, with the id
    of another client's request.
    """
    return one_line(_encode(envelope)) + b"\n"


def one_line(message: bytes) -> bytes:
    """Return the message without line breaks, which JSON has between tokens only, where they mean nothing."""
    return message.translate(None, b"\r\n") if b"\n" in message or b"\r" in message else message


def splice_request(message: Message, number: int) -> None:
    """Put the gateway's number in the place of the client's id and, where there is one, of its progress token."""
    raw = Raw(b"%d" % number)
    envelope = message.envelope
    envelope["id"] = raw
    params = message.params
    if params is None:
        return
    if message.meta is not None:
        if "progressToken" in message.meta:
            message.meta["progressToken"] = raw
        params["_meta"] = Raw(_encode(message.meta))
    envelope["params"] = Raw(_encode(params))


def splice_id(envelope: Envelope, identifier: bytes) -> bytes:
    """Return the reply as bytes, with the caller's id in the place of the gateway's."""
    envelope["id"] = Raw(identifier)
    return _encode(envelope)


def request(number: int, method: str, params: Any) -> Envelope:
    """Return a request of the gateway's own."""
    return {"jsonrpc": VERSION, "id": Raw(b"%d" % number), "method": raw(method), "params": raw(params)}


def notification(method: str, params: Any = None) -> Envelope:
    """Return a notification of the gateway's own."""
    message = {"jsonrpc": VERSION, "method": raw(method)}
    if params is not None:
        message["params"] = raw(params)
    return message


def result(identifier: Raw, value: Any) -> Envelope:
    """Return a response of the gateway's own."""
    return {"jsonrpc": VERSION, "id": identifier, "result": raw(value)}


def error(identifier: Raw, why: GatewayError) -> Envelope:
    """Return an error response; a hint is in ``error.data.hint``, beside the error's own data."""
    body: dict[str, Any] = {"code": why.code, "message": why.message}
    data = dict(why.data or {})
    if why.hint:
        data["hint"] = why.hint
    if data:
        body["data"] = data
    return {"jsonrpc": VERSION, "id": identifier, "error": raw(body)}


def error_bytes(identifier: bytes, why: GatewayError) -> bytes:
    """Return an error response as bytes, under the caller's own id."""
    return splice_id(error(NULL, why), identifier)


def raw(value: Any) -> Raw:
    """Return any value as bytes for an envelope."""
    return Raw(_encode(value))


NULL = Raw(b"null")
EMPTY = Raw(b"{}")


_HEAD = rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?'
_OUTCOME = rb'"(?:result|error)"\s*:'
_AT_HEAD = re.compile(_HEAD + rb'"id"\s*:\s*(\d{1,19})\s*,\s*' + _OUTCOME)
_ANSWER = re.compile(_HEAD + _OUTCOME)
_AT_TAIL = re.compile(rb',\s*"id"\s*:\s*(\d{1,19})\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*\Z')


def id_at_ends(head: bytes, tail: bytes) -> bytes | None:
    """Return the id of a response of which only the ends are known; None where it is at neither end.

    Ids of nested objects do not count: the response's own stands behind the first brace, or before the last one.
    """
    found = _AT_HEAD.match(head)
    if found is None and _ANSWER.match(head):
        found = _AT_TAIL.search(tail)
    return found[1] if found is not None else None
