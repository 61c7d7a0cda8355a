"""The envelope: what is read, what is refused, what survives splicing."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.errors import GatewayError, InvalidParams, MalformedMessage, ParseError, QuestionRefused
from mcpgateway.protocol import jsonrpc
from mcpgateway.protocol.jsonrpc import MessageKind

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
identifiers = st.integers() | st.text(max_size=40)

spaces = st.sampled_from([b"", b"", b" ", b"\n", b"\r\n\t"])
pieces = st.sampled_from(
    [
        rb"a",
        rb"\\",
        rb"\"",
        rb"\n",
        rb"\u00e9",
        rb"\ud83d\ude00",
        rb"\uD800",
        rb"\udfff",
        rb"ud800",
        rb"[{",
        "é😀".encode(),
    ]
)
spelled_strings = st.lists(pieces, max_size=5).map(lambda parts: b'"' + b"".join(parts) + b'"')
spelled_numbers = st.sampled_from(
    [b"0", b"-0", b"1.10", b"1E5", b"1e400", b"1e-7", b"12345678901234567890123456789012345678901234567890"]
)


def _spelled_list(parts: list[bytes]) -> bytes:
    return b"[" + b",".join(parts) + b"]"


def _spelled_object(parts: list[tuple[bytes, bytes]]) -> bytes:
    return b"{" + b",".join(key + b":" + value for key, value in parts) + b"}"


spelled_values = st.recursive(
    st.sampled_from([b"null", b"true", b"false"]) | spelled_numbers | spelled_strings,
    lambda inner: (
        st.lists(inner, max_size=3).map(_spelled_list)
        | st.lists(st.tuples(spelled_strings, inner), max_size=3).map(_spelled_object)
    ),
    max_leaves=8,
)
# Those that a message has already are left out: of two members with one name only the last is one.
member_names = st.lists(
    st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=5, max_size=9).filter(
        lambda name: name not in {"jsonrpc", "method", "params"}
    ),
    unique=True,
    max_size=3,
)
spelled_members = member_names.flatmap(
    lambda names: st.tuples(*[st.tuples(st.just(f'"{name}"'.encode()), spelled_values) for name in names])
)
spelled_identifiers = st.integers().map(lambda number: b"%d" % number) | spelled_strings


def request_bytes(identifier: object, **more: object) -> bytes:
    """A request as a client might write it."""
    return json.dumps({"jsonrpc": "2.0", "id": identifier, "method": "tools/call", **more}).encode()


class ReadClientTests:
    """The messages that a client may send."""

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b'{"jsonrpc":"2.0","id":1,"method":"ping"}', MessageKind.REQUEST),
            (b'{"jsonrpc":"2.0","method":"notifications/initialized"}', MessageKind.NOTIFICATION),
            (b'{"jsonrpc":"2.0","id":"a","result":{}}', MessageKind.RESPONSE),
            (b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}', MessageKind.RESPONSE),
            (b' {"method" : "x", "\\u0069d": 7, "jsonrpc" : "2.0"}\n', MessageKind.REQUEST),
        ],
    )
    def test_kinds(self, body: bytes, kind: MessageKind) -> None:
        """A message is of the kind that its members make it."""
        assert jsonrpc.read_client(body).kind is kind

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"nonsense",
            b'{"jsonrpc":"2.0","id":1,"method":"x"} trailing',
            b"\xef\xbb\xbf{}",
            b'{"jsonrpc":"2.0","id":1,"method":"\xff"}',
            b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":NaN}}',
            b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":"\x01"}}',
            b'{"a":' * 200 + b"1" + b"}" * 200,
            b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":' + b"[" * 129 + b"]" * 129 + b"}}",
            b'{"jsonrpc":"2.0","id":1,"method":"x","params":' + b'{"a":' * 500_000,
            b'{"a":"' + b'\\"' * 1_000_000 + b"[" * 200,
        ],
    )
    def test_not_json(self, body: bytes) -> None:
        """A body that is no JSON, no UTF-8 or absurdly deep is a parse error."""
        with pytest.raises(ParseError) as why:
            jsonrpc.read_client(body)
        assert why.value.code == -32700

    @pytest.mark.parametrize(
        "body",
        [
            b"[]",
            b"[" * 2_000_000,
            b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
            b"1",
            b'"x"',
            b"{}",
            b'{"jsonrpc":"1.0","id":1,"method":"x"}',
            b'{"id":1,"method":"x"}',
            b'{"jsonrpc":"2.0","id":null,"method":"x"}',
            b'{"jsonrpc":"2.0","id":1.5,"method":"x"}',
            b'{"jsonrpc":"2.0","id":1.0,"method":"x"}',
            b'{"jsonrpc":"2.0","id":1e3,"method":"x"}',
            b'{"jsonrpc":"2.0","id":true,"method":"x"}',
            b'{"jsonrpc":"2.0","id":{},"method":"x"}',
            b'{"jsonrpc":"2.0","id":"' + b"x" * 5000 + b'","method":"x"}',
            b'{"jsonrpc":"2.0","id":1,"method":7}',
            b'{"jsonrpc":"2.0","id":1,"method":"x","params":[]}',
            b'{"jsonrpc":"2.0","id":1,"method":"x","params":null}',
            b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":[]}}',
            b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}',
            b'{"jsonrpc":"2.0","id":1}',
            b'{"jsonrpc":"2.0","result":{}}',
        ],
    )
    def test_not_json_rpc(self, body: bytes) -> None:
        """A message that a stdio server would drop without an answer is refused with one."""
        with pytest.raises(MalformedMessage) as why:
            jsonrpc.read_client(body)
        assert why.value.code == -32600

    def test_depth_limit_is_exact(self) -> None:
        """A message may be nested as deep as the limit, strings full of brackets do not count."""
        depth = jsonrpc.DEPTH_LIMIT - 2
        deep = b"[" * depth + b"]" * depth
        text = b'"' + b"[" * 500 + b'\\"' + b"{" * 500 + b'"'
        body = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":' + deep + b',"b":' + text + b"}}"
        assert jsonrpc.read_client(body).method == "x"
        with pytest.raises(ParseError):
            jsonrpc.read_client(body.replace(deep, b"[" + deep + b"]"))

    @pytest.mark.parametrize("token", [b"1.5", b"null", b"{}", b"true"])
    def test_bad_progress_token(self, token: bytes) -> None:
        """A progress token is a string or an integer."""
        body = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":' + token + b"}}}"
        with pytest.raises(InvalidParams):
            assert jsonrpc.read_client(body).token

    @given(st.binary(max_size=200))
    def test_never_breaks(self, body: bytes) -> None:
        """Any bytes are a message or one of our errors."""
        try:
            jsonrpc.read_client(body)
        except GatewayError:
            pass


class SpliceTests:
    """Ids and tokens change, nothing else does."""

    @given(
        identifiers, identifiers, st.dictionaries(st.text(), json_values, max_size=4), st.integers(1, 2**53)
    )
    def test_request(
        self, identifier: object, token: object, arguments: dict[str, object], number: int
    ) -> None:
        """Our number takes the place of id and token; every other value is the same JSON."""
        params = {"arguments": arguments, "_meta": {"progressToken": token, "other": [1, 2.50]}}
        message = jsonrpc.read_client(request_bytes(identifier, params=params, unknown=arguments))
        assert json.loads(message.id) == identifier
        assert message.token is not None
        assert json.loads(message.token) == token
        jsonrpc.splice_request(message, number)
        line = jsonrpc.line(message.envelope)
        assert line.count(b"\n") == 1
        sent = json.loads(line)
        assert sent["id"] == number
        assert sent["params"]["_meta"] == {"progressToken": number, "other": [1, 2.50]}
        assert sent["params"]["arguments"] == arguments
        assert sent["unknown"] == arguments

    @pytest.mark.parametrize(
        "text", [b"1.10", b"1E5", b"123456789012345678901234567890", b"-0", b"1e-7", b'"\\u00e9\\ud83d"']
    )
    def test_text_of_values_survives(self, text: bytes) -> None:
        """Numbers keep their spelling and lone surrogates their escape, both ways."""
        body = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":' + text + b',"b":[' + text + b"]}}"
        message = jsonrpc.read_client(body)
        jsonrpc.splice_request(message, 5)
        assert jsonrpc.line(message.envelope).count(text) == 2
        reply = jsonrpc.decode(b'{"jsonrpc":"2.0","id":5,"result":{"a":' + text + b'},"x":' + text + b"}")
        assert jsonrpc.splice_id(reply, b'"mine"').count(text) == 2

    @given(identifiers)
    def test_reply_carries_the_very_id(self, identifier: object) -> None:
        """The caller gets its own id back, with its own JSON type."""
        text = json.dumps(identifier).encode()
        answer = json.loads(jsonrpc.splice_id(jsonrpc.decode(b'{"jsonrpc":"2.0","id":9,"result":{}}'), text))
        assert answer["id"] == identifier
        assert type(answer["id"]) is type(identifier)

    def test_meta_without_a_token(self) -> None:
        """A request that wants no progress is given no token, and keeps the rest of its _meta."""
        message = jsonrpc.read_client(request_bytes(1, params={"_meta": {"a": 1}}))
        jsonrpc.splice_request(message, 2)
        assert json.loads(jsonrpc.line(message.envelope))["params"] == {"_meta": {"a": 1}}

    def test_duplicate_keys_are_gone(self) -> None:
        """The value of a repeated key that is passed on is the one that was judged."""
        body = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"name":"a","name":"b"},"method":"y"}'
        message = jsonrpc.read_client(body)
        jsonrpc.splice_request(message, 2)
        assert message.method == "y"
        assert jsonrpc.line(message.envelope).count(b'"name"') == 1

    def test_no_forged_line(self) -> None:
        """A newline between tokens cannot put a second message on a shared server's stdin."""
        forged = b'{"jsonrpc":"2.0","id":99,"method":"tools/call","params":{}}'
        body = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":\n' + forged + b'\r\n,"b":1.10}}'
        message = jsonrpc.read_client(body)
        jsonrpc.splice_request(message, 3)
        line = jsonrpc.line(message.envelope)
        assert line.count(b"\n") == 1
        assert b"\r" not in line
        assert b"1.10" in line
        assert json.loads(line)["params"]["a"]["id"] == 99

    @given(spelled_identifiers, spelled_identifiers, spelled_members, spelled_members, spelled_members)
    def test_every_other_byte_survives(
        self,
        identifier: bytes,
        token: bytes,
        unknown: tuple[tuple[bytes, bytes], ...],
        params: tuple[tuple[bytes, bytes], ...],
        meta: tuple[tuple[bytes, bytes], ...],
    ) -> None:
        """A spliced message keeps every byte except for id and token."""

        def spelled(identifier: bytes, token: bytes) -> bytes:
            inner = _spelled_object([*meta, (b'"progressToken"', token)])
            outer = _spelled_object([*params, (b'"_meta"', inner)])
            head = [(b'"jsonrpc"', b'"2.0"'), (b'"id"', identifier), (b'"method"', b'"x"')]
            return _spelled_object([*head, (b'"params"', outer), *unknown])

        message = jsonrpc.read_client(spelled(identifier, token))
        assert (message.id, message.token) == (identifier, token)
        jsonrpc.splice_request(message, 77)
        assert jsonrpc.line(message.envelope) == spelled(b"77", b"77") + b"\n"
        reply = jsonrpc.decode(_spelled_object([(b'"id"', b"77"), *unknown]))
        assert jsonrpc.splice_id(reply, identifier) == _spelled_object([(b'"id"', identifier), *unknown])

    @given(st.dictionaries(st.text(), spelled_values.map(Raw), max_size=5))
    def test_what_is_encoded_decodes_to_the_same(self, envelope: dict[str, Raw]) -> None:
        """Encoding and decoding are each other's inverse."""
        assume(not any("\ue800" <= letter <= "\uefff" for name in envelope for letter in name))
        assert jsonrpc.decode(jsonrpc.encode(envelope)) == envelope

    @given(
        st.lists(st.tuples(spelled_strings, spelled_values), max_size=4),
        st.lists(spaces, min_size=8, max_size=8),
    )
    def test_a_line_is_one_line(self, members: list[tuple[bytes, bytes]], gaps: list[bytes]) -> None:
        """A message is one line with the same meaning, however its values are laid out."""
        value = (
            b"{"
            + gaps[0]
            + b",".join(gaps[1] + key + gaps[2] + b":" + gaps[3] + value + gaps[4] for key, value in members)
        )
        value += gaps[5] + b"}"
        body = (
            b'{"jsonrpc":"2.0","id":1,' + gaps[6] + b'"method":"x","params":{"a":' + value + gaps[7] + b"}}"
        )
        message = jsonrpc.read_client(body)
        jsonrpc.splice_request(message, 1)
        line = jsonrpc.line(message.envelope)
        assert line.endswith(b"\n")
        assert b"\n" not in line[:-1]
        assert b"\r" not in line
        assert json.loads(line) == json.loads(body)

    @given(spelled_identifiers, st.lists(spaces, min_size=4, max_size=4))
    def test_a_line_has_any_id(self, identifier: bytes, gaps: list[bytes]) -> None:
        """An answer that is laid out on several lines is one line under the other side's id, whatever that is."""
        body = b'{"jsonrpc":"2.0","id":1,"result":{%b"a"%b:%b[]}%b}' % tuple(gaps)
        envelope = jsonrpc.read_client(body).envelope | {"id": Raw(identifier)}
        line = jsonrpc.line(envelope)
        assert line.endswith(b"\n")
        assert b"\n" not in line[:-1]
        assert b"\r" not in line
        assert json.loads(line) == {"jsonrpc": "2.0", "id": json.loads(identifier), "result": {"a": []}}


class DepthTests:
    """The depth of a message."""

    @given(
        st.integers(120, 136),
        st.integers(0, 3),
        st.sampled_from([b"[", b'{"a":']),
        st.sampled_from([b'"[{"', b'"\\"["', b"1"]),
    )
    def test_as_a_naive_count(self, depth: int, beside: int, opener: bytes, leaf: bytes) -> None:
        """The limit is that of a count by hand, whatever stands in strings and beside."""
        closer = b"]" if opener == b"[" else b"}"
        deep = opener * depth + leaf + closer * depth
        body = (
            b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"b":[' + b'[{"x":[]}],' * beside + deep + b"]}}"
        )
        if naive_depth(body) > jsonrpc.DEPTH_LIMIT:
            with pytest.raises(ParseError, match="nested deeper"):
                jsonrpc.read_client(body)
        else:
            assert jsonrpc.read_client(body).method == "x"

    def test_wide_is_not_deep(self) -> None:
        """Many brackets beside each other are no depth."""
        body = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":[' + b"[[]]," * 50_000 + b"1]}}"
        assert jsonrpc.read_client(body).method == "x"


def naive_depth(data: bytes) -> int:
    """The depth of JSON, letter by letter."""
    deepest = level = 0
    in_string = escaped = False
    for letter in data.decode():
        if in_string:
            escaped, in_string = letter == "\\" and not escaped, letter != '"' or escaped
        elif letter == '"':
            in_string = True
        else:
            level += (letter in "[{") - (letter in "]}")
            deepest = max(deepest, level)
    return deepest


class IdentifierTests:
    """Ids are compared as JSON values."""

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            (b"7", b"7", True),
            (b"7", b'"7"', False),
            (b'"a"', b'"\\u0061"', True),
            (b'"a"', b'"b"', False),
            (b"1", b"2", False),
        ],
    )
    def test_same_identifier(self, one: bytes, other: bytes, *, same: bool) -> None:
        """7 is not "7", and an escape is what it stands for."""
        assert jsonrpc.same_identifier(one, other) is same
        assert jsonrpc.same_identifier(other, one) is same

    @given(spelled_identifiers, spelled_identifiers, spelled_identifiers)
    def test_equivalence(self, one: bytes, two: bytes, three: bytes) -> None:
        """Being the same is reflexive, symmetric and transitive."""
        same = jsonrpc.same_identifier
        assert same(one, one)
        assert same(one, two) == same(two, one)
        assert not (same(one, two) and same(two, three)) or same(one, three)

    def test_foreign_identifiers(self) -> None:
        """An id that is none of ours reads as none."""
        assert jsonrpc.integer(None) is None
        assert jsonrpc.integer(Raw(b'"1"')) is None
        assert jsonrpc.integer(Raw(b"17")) == 17
        assert jsonrpc.identifier(None) is None
        assert jsonrpc.identifier(Raw(b"1.5")) is None
        assert jsonrpc.identifier(Raw(b'"x"')) == b'"x"'


class BatchTests:
    """Several messages as one array."""

    @given(st.lists(spelled_values, min_size=1, max_size=6), st.lists(spaces, min_size=3, max_size=3))
    def test_each_as_it_was_spelled(self, members: list[bytes], gaps: list[bytes]) -> None:
        """The messages come apart in their order, each with its own bytes, lone surrogates included."""
        body = gaps[0] + b"[" + gaps[1] + (gaps[2] + b"," + gaps[1]).join(members) + gaps[2] + b"]"
        assert jsonrpc.read_batch(body) == members

    @pytest.mark.parametrize("number", [1, 2, jsonrpc.BATCH_LIMIT])
    def test_as_many_as_the_limit(self, number: int) -> None:
        """A batch has up to as many messages as the limit says."""
        ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
        assert jsonrpc.read_batch(b"[" + b",".join([ping] * number) + b"]") == [ping] * number

    @pytest.mark.parametrize("body", [b"[]", b" [ ]", b"[" + b"1," * jsonrpc.BATCH_LIMIT + b"1]"])
    def test_too_few_or_too_many(self, body: bytes) -> None:
        """No message is no batch, and one more than the limit is too many."""
        with pytest.raises(MalformedMessage, match="a batch has 1 to 100 messages"):
            jsonrpc.read_batch(body)

    @pytest.mark.parametrize(
        "body",
        [b"", b"{}", b'"[1]"', b"x[1]", b"[", b"[1", b"[1]]", b"[1,]", b"[" * 200_000, b"[" * 99 + b"]" * 98],
    )
    def test_no_batch(self, body: bytes) -> None:
        """A body that is no array is judged as a single message."""
        assert jsonrpc.read_batch(body) is None

    def test_not_utf8(self) -> None:
        """A batch is UTF-8, like any message."""
        assert jsonrpc.read_batch('["é"]'.encode()) == ['"é"'.encode()]
        with pytest.raises(ParseError, match="not UTF-8 at byte 2"):
            jsonrpc.read_batch(b'["\xff"]')

    @given(st.binary(max_size=60), st.booleans())
    def test_never_breaks(self, body: bytes, is_array: bool) -> None:  # noqa: FBT001 - hypothesis gives it
        """Any bytes are a batch, no batch, or one of our errors."""
        try:
            found = jsonrpc.read_batch(b"[" + body + b"]" if is_array else body)
        except GatewayError:
            return
        assert found is None or found


class ValueTests:
    """Members that are looked into as a whole."""

    @given(json_values)
    def test_any_value(self, value: object) -> None:
        """An encoded value is read back, if it is of the wanted kind."""
        raw = jsonrpc.raw(value)
        for kind in (dict, list, str):
            if isinstance(value, kind):
                assert jsonrpc.value(raw, kind) == value
            else:
                with pytest.raises(MalformedMessage, match=f"expected {kind.__name__}"):
                    jsonrpc.value(raw, kind)

    @pytest.mark.parametrize("text", [b"{", b'{"a":1e999}', b'{"a":"\\ud800"}', b'{"a":' + b"[" * 100_000])
    def test_what_cannot_be_read(self, text: bytes) -> None:
        """Half a value, a number without bounds and depth without end are errors, not crashes."""
        with pytest.raises(MalformedMessage):
            jsonrpc.value(Raw(text), dict)


class ListTests:
    """Members that must be arrays."""

    @given(st.lists(spelled_values, max_size=6), st.lists(spaces, min_size=2, max_size=2))
    def test_each_as_it_was_spelled(self, members: list[bytes], gaps: list[bytes]) -> None:
        """The members come apart in their order, each with its own bytes, lone surrogates included."""
        raw = Raw(b"[" + gaps[0] + (gaps[1] + b"," + gaps[0]).join(members) + gaps[1] + b"]")
        assert [bytes(each) for each in jsonrpc.read_list(raw, "tasks")] == members

    @pytest.mark.parametrize("text", [b"7", b"null", b"{}", b'"[]"', b"[", b"[1,]", b"", b"[" * 100_000])
    def test_no_array(self, text: bytes) -> None:
        """Anything else is refused, by the name of the member."""
        with pytest.raises(MalformedMessage, match='"tasks" must be an array'):
            jsonrpc.read_list(Raw(text), "tasks")


class StringTests:
    """Short members that must be strings."""

    @given(st.text(st.characters(codec="utf-8"), max_size=30), st.integers(0, 30))
    def test_limit(self, text: str, limit: int) -> None:
        """A string is read up to its limit, which counts characters and not bytes."""
        raw = jsonrpc.raw(text)
        if len(text) <= limit:
            assert jsonrpc.read_string(raw, "name", limit) == text
        else:
            with pytest.raises(MalformedMessage, match=f'"name" is longer than {limit} characters'):
                jsonrpc.read_string(raw, "name", limit)

    @pytest.mark.parametrize("text", [b"7", b"null", b'["a"]', b'"a', b'"\\ud800"'])
    def test_no_string(self, text: bytes) -> None:
        """Anything else is refused, by the name of the member."""
        with pytest.raises(MalformedMessage, match=r'"params\.uri" must be a string'):
            jsonrpc.read_string(Raw(text), "params.uri")


class ErrorTests:
    """Answers of our own that say what went wrong."""

    @given(spelled_identifiers | st.just(b"null"), st.integers(-32999, -32000), st.text(), st.text())
    def test_any_error(self, identifier: bytes, code: int, message: str, hint: str) -> None:
        """An error is a JSON-RPC error under the caller's very id; a hint is in its data."""
        why = QuestionRefused(code, message)
        why.hint = hint
        answer = jsonrpc.error_bytes(identifier, why)
        assert jsonrpc.decode(answer)["id"] == Raw(identifier)
        error = {"code": code, "message": message} | ({"data": {"hint": hint}} if hint else {})
        assert json.loads(answer) == {"jsonrpc": "2.0", "id": json.loads(identifier), "error": error}

    def test_a_request_of_our_own(self) -> None:
        """Requests, notifications and answers of the gateway's own are JSON-RPC too."""
        asked = jsonrpc.encode(jsonrpc.request(7, "tools/list", {"a": [1]}))
        assert jsonrpc.read_client(asked).id == b"7"
        assert jsonrpc.read_client(jsonrpc.encode(jsonrpc.notification("x"))).params is None
        assert jsonrpc.read_client(jsonrpc.encode(jsonrpc.notification("x", {}))).params == {}
        assert (
            jsonrpc.read_client(jsonrpc.encode(jsonrpc.result(Raw(b'"q"'), {}))).kind is MessageKind.RESPONSE
        )


class OddityTests:
    """Rare forms of messages."""

    @pytest.mark.parametrize("text", [b'"\\ud800"', b'"\\uDC00x"'])
    def test_lone_surrogates(self, text: bytes) -> None:
        """JavaScript's lone surrogates pass, in any place."""
        body = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":' + text + b"}}"
        message = jsonrpc.read_client(body)
        jsonrpc.splice_request(message, 2)
        assert json.loads(jsonrpc.line(message.envelope))["params"]["a"] == json.loads(text)

    @pytest.mark.parametrize(
        "body",
        [
            b'{"\\ud800":1}',
            b'{"a":"\\ud800"',
            b'["\\ud800"]',
            b'{"a":"\\ud800","b":NaN}',
            b'{"a":"\\ud800",}',
            b'"\\ud800"',
        ],
    )
    def test_lone_surrogates_in_nonsense(self, body: bytes) -> None:
        """Lone surrogates do not excuse a malformed message."""
        with pytest.raises(GatewayError):
            jsonrpc.decode(body)

    def test_stand_ins_stand_for_themselves(self) -> None:
        """The private characters that stand for surrogates while a message is read may be in it as well."""
        body = b'{"a":["\\ud800\\ue800\\uE9aB\\\\ud800\\ud83d\\ude00",1.10],"\\ud83d\\ude00":"\xee\xa0\x80"}'
        decoded = jsonrpc.decode(body)
        assert json.loads(jsonrpc.encode(decoded)) == json.loads(body)
        assert b"1.10" in bytes(decoded["a"])

    def test_params_that_nest_without_end(self) -> None:
        """A member's absurd depth is an error, not a crash."""
        with pytest.raises(ParseError):
            jsonrpc.read_object(Raw(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "params")

    def test_a_server_that_nests_without_end(self) -> None:
        """A server's absurd depth is an error, not a crash."""
        with pytest.raises(ParseError):
            jsonrpc.decode(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")

    def test_a_method_without_end(self) -> None:
        """Names have a bound."""
        with pytest.raises(MalformedMessage, match="longer than"):
            jsonrpc.read_client(b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * 2000 + b'"}')

    def test_unbalanced(self) -> None:
        """More brackets opened than closed is an error, even where they are many."""
        with pytest.raises(ParseError):
            jsonrpc.read_client(
                b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":' + b"[]," * 200 + b"[" * 3
            )

    def test_errors_carry_their_hint(self) -> None:
        """A hint travels in the error's data."""
        assert json.loads(bytes(jsonrpc.error(jsonrpc.NULL, ParseError("no", "try"))["error"])) == {
            "code": -32700,
            "message": "no",
            "data": {"hint": "try"},
        }

    def test_identifiers_that_cannot_be_read(self) -> None:
        """Ids that are no JSON are the same as nothing."""
        assert not jsonrpc.same_identifier(b'"\\ud800"', b'"\\udfff"')

    def test_no_token(self) -> None:
        """A request without a token has none."""
        assert (
            jsonrpc.read_client(b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{}}}').token is None
        )
        message = jsonrpc.read_client(b'{"jsonrpc":"2.0","id":1,"method":"x"}')
        jsonrpc.splice_request(message, 3)
        assert message.token is None
        assert json.loads(jsonrpc.line(message.envelope)) == {"jsonrpc": "2.0", "id": 3, "method": "x"}


class IdAtEndsTests:
    """The id of an answer of which only the ends are known."""

    @pytest.mark.parametrize(
        ("head", "tail", "identifier"),
        [
            (b'{"jsonrpc":"2.0","id":5,"result":{"a":', b'"}}', b"5"),
            (b'{ "id" : 5 , "error": {', b'"}}', b"5"),
            (b'{"result":{"a":"x', b'"},"jsonrpc":"2.0","id":5}\n', b"5"),
            (b'{"jsonrpc":"2.0","result":{"a":"x', b'"}, "id": 5 }', b"5"),
            (b'{"result":{"a":"x', b'"},"id":5,"jsonrpc":"2.0"}', b"5"),
            (b'{"result":{"a":"x', b'","id":5}}', None),
            (b'{"result":{"id":7,', b'"}}', None),
            (b'{"jsonrpc":"2.0","id":5,"method":"sampling/createMessage"', b'"}}', None),
            (b'{"method":"notifications/message","params":{"a":', b'"},"id":5}', None),
            (b'{"jsonrpc":"2.0","id":"5","result":{', b'"}}', None),
            (b"", b"", None),
        ],
    )
    def test_it(self, head: bytes, tail: bytes, identifier: bytes | None) -> None:
        """The id is found where it is the answer's own, and nowhere else."""
        assert jsonrpc.id_at_ends(head, tail) == identifier
