"""Whole configurations: drawn at random, and one that says everything, broken in every way there is."""

import json
import re
from itertools import islice

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mcpgateway.config.read import parse
from mcpgateway.config.schema import json_schema
from tests.support.configurations import FULL, configurations, names, read, written
from tests.support.gateway import IS_SOAK

SCHEMA = Draft202012Validator(json_schema())
FULL_VALUE = parse(FULL, "/g/config.yaml").value
FULL_JSON = json.dumps(FULL_VALUE, indent=1)
TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|[A-Za-z0-9_./$:@-]*[A-Za-z0-9_./$@-]|[^\sA-Za-z0-9]')
OTHERS = ("7", '"text"', "true", "null", "[]", "{}", "[{}]", '"\\u0000"', "-1", "1e400")
STRIDE = (
    1 if IS_SOAK else 23
)  # of many slips at each token one in so many is tried, another at the next token
BRACKETS = {"{": "[", "}": "]", "[": "{", "]": "}", ",": ":", ":": ","}


def as_yaml(value, indent=0):
    """Write a value as people write YAML: a line for each member, and texts in quotes."""
    margin = "  " * indent
    if isinstance(value, dict) and value:
        members = (f"{margin}{json.dumps(key)}:{as_yaml(each, indent + 1)}" for key, each in value.items())
        return "\n" + "\n".join(members)
    if isinstance(value, list) and value:
        return "\n" + "\n".join(f"{margin}-{as_yaml(each, indent + 1)}" for each in value)
    return " " + json.dumps(value, ensure_ascii=False)


def without_digest(servers):
    """Leave out what no file says: where a server is from, and the digest of what it refers to."""
    return {each.name: (each.command, dict(each.env), each.cwd, each.reach, rest(each)) for each in servers}


def rest(server):
    """Return the plain fields of a server."""
    plain = (
        "share timeout_s interactive protocol bridge enabled lazy replicas concurrency inject rest_url rest_headers"
        " health_url workspace prefix expose_tools tools_off pinned shield shield_tools view"
    )
    return [getattr(server, name) for name in plain.split()]


def mutants(text, others):
    """Break every token of a text in turn: left out, of another kind, misspelt, or the wrong bracket."""
    for found in TOKEN.finditer(text):
        token = found[0]
        wrong = ["", *others] if token[0] not in BRACKETS else ["", BRACKETS[token[0]]]
        if len(token) > 2:
            wrong += [token[:-2] + token[-1], token[0] + "q" + token[1:], "zz" + token]
        for each in wrong:
            yield token, text[: found.start()] + each + text[found.end() :]


def parts(text):
    """Cut a configuration into ones of a single section or server each, which are quicker to read by the thousand."""
    top = ""
    part = []
    for line in text.splitlines():
        if not line.startswith(" ") or (top == "servers:" and not line.startswith("   ")):
            if len(part) > (part[:1] == ["servers:"]):
                yield "\n".join(part)
            part = [line]
            if line.startswith(" "):
                part = [top, line]
            else:
                top = line
        else:
            part.append(line)
    yield "\n".join(part)


def check_located(text, file, token):
    """See that a file is accepted, or refused in words that name the place and show no secret."""
    found, problems = read(text, file)
    assert (found is None) == bool(problems.errors), text
    for each in problems:
        assert each.where.file == file
        assert each.where.line > 0, str(each)
        assert "hunter2" not in str(each), str(each)
        assert "\n" not in str(each)
    return found, problems


class RoundTripTests:
    # Making a failing example smaller would take minutes, and the difference that is shown says enough.
    @settings(
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
    )
    @given(configurations())
    def test_written_and_read(self, drawn):
        """A written configuration is read as what it was, in either language, and valid for an editor."""
        gateway, servers = drawn
        if gateway.allow_remote is False:
            assert gateway.bind_address in ("127.0.0.1", "::1", "127.0.0.9")
        value = written(gateway, servers)
        for text, file in ((json.dumps(value, indent=1), "/g/c.json"), (as_yaml(value), "/g/c.yaml")):
            found, problems = read(text, file)
            assert problems.errors == []
            assert found.gateway == gateway
            assert without_digest(found.servers) == without_digest(servers)
        assert list(SCHEMA.iter_errors(value)) == []


class FullTests:
    """The file that says everything."""

    def test_accepted(self):
        """The full configuration is valid as YAML and as JSON, with the same servers."""
        one, problems = read(FULL, "/g/config.yaml")
        other, _ = read(FULL_JSON, "/g/config.yaml")
        assert problems.errors == []
        assert one.servers == other.servers
        assert len(one.servers) == 9
        assert list(SCHEMA.iter_errors(FULL_VALUE)) == []

    def test_every_token_of_json(self):
        """A configuration with any broken token is accepted, or refused with file and line."""
        accepted = refused = 0
        for token, text in islice(mutants(FULL_JSON, OTHERS), None, None, STRIDE):
            found, problems = check_located(text, "/g/config.json", token)
            accepted, refused = accepted + (found is not None), refused + (found is None)
            if not problems:
                value = json.loads(text)
                assert list(SCHEMA.iter_errors(value)) == [], text
        assert accepted > 500 // STRIDE
        assert refused > 3000 // STRIDE

    def test_every_token_of_yaml(self):
        """The same in YAML, where fewer slips are noticed by the parser."""
        refused = 0
        for part in parts(FULL):
            for token, text in islice(mutants(part, ("[x]", "'")), None, None, STRIDE):
                found, _ = check_located(text, "/g/config.yaml", token)
                refused += found is None
        assert refused > 500 // STRIDE

    def test_ten_at_once(self):
        """All problems of a file are found in one reading, in the order of the file."""
        text = (
            "gateway:\n  http_port: many\n  ping_interval: often\n  bind_address: here\n  limits: {spawns: 0}\n"
            "servers:\n  a: {command: []}\n  b: {command: x, url: 'http://h/'}\n  c: {}\n"
            "  d: {command: x, share: all}\n  e: {url: 'ftp://h/'}\n  f: {url: 'http://h/', headers: {Host: x}}\n"
            "  f: {command: y}\n  g: {command: '${NOT:?set it}'}\n"
        )
        found, problems = read(text, "/g/config.yaml")
        assert found is None
        assert [each.where.line for each in problems.in_order()] == [2, 3, 4, 5, 7, 8, 9, 10, 11, 13, 14]
        assert "servers.g.command: NOT: set it" in str(problems.in_order()[-1])


class SchemaTests:
    """The published JSON Schema."""

    def test_sound(self):
        """The published schema is valid in its dialect, and every key in it is explained."""
        found = json_schema()
        Draft202012Validator.check_schema(found)
        for properties in (found["properties"], found["$defs"]["server"]["properties"]):
            assert all(each["description"].endswith(".") for each in properties.values())

    @pytest.mark.parametrize(
        "value",
        [
            {"gatewy": {}},
            {"gateway": {"http_port": "x"}},
            {"gateway": {"expose": "all"}},
            {"servers": {"x": {"share": "all"}}},
            {"servers": {"x": {"tiemout": 3}}},
            {"servers": {"x": {"lazy": {"enabled": 3}}}},
        ],
    )
    def test_refuses(self, value):
        """An editor underlines what the gateway refuses or warns about."""
        assert list(SCHEMA.iter_errors(value))

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        )
    )
    def test_any_value(self, value):
        """Any value at all is read or refused, wherever it stands."""
        for key in (
            "gateway",
            "servers",
            "profiles",
            "workspaces",
            "projects",
            "settings",
            "include",
            "clients",
        ):
            check_located(json.dumps({key: value}), "/g/c.json", "")
            check_located(
                json.dumps({"servers": {"x": {"command": "y", key: value, "env": value}}}), "/g/c.json", ""
            )
