"""Changes of an entry as programs ask for them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mcpgateway.config.edit.change import Patch, key_path_of, overlapping, read_patch, touched
from mcpgateway.config.edit.edits import Put, Remove, Rename, rooted
from mcpgateway.config.edit.file_text import edit
from mcpgateway.config.read import parse
from mcpgateway.errors import InvalidParams

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


class ReadTests:
    """The body of a PATCH."""

    def test_all(self) -> None:
        """Every member of S003's."""
        said = {
            "disabled": True,
            "add_env": ["A=1=2"],
            "remove_env": ["B"],
            "add_headers": {"X-A": "1"},
            "remove_headers": ["X-B"],
            "new_name": "other",
        }
        assert read_patch(said) == Patch(True, {"A": "1=2"}, ("B",), {"X-A": "1"}, ("X-B",), "other")

    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            ({"env": {"A": "1"}}, Patch(add_env={"A": "1"})),
            ({"headers": {"A": "1"}}, Patch(add_headers={"A": "1"})),
            ({"enabled": True}, Patch(disabled=False)),
            ({"disabled": False, "enabled": True}, Patch(disabled=False)),
        ],
    )
    def test_other_spellings(self, said: dict[str, Any], expected: Patch) -> None:
        """The key names of the first release are understood, and ``enabled``."""
        assert read_patch(said) == expected

    @pytest.mark.parametrize(
        "said",
        [
            {},
            {"command": "sh"},
            {"disabled": "yes"},
            {"disabled": None},
            {"add_env": None},
            {"remove_env": None},
            {"new_name": None},
            {"disabled": True, "enabled": True},
            {"add_env": ["A"]},
            {"add_env": {"A": 1}},
            {"add_env": {"": "x"}},
            {"add_env": ["=x"]},
            {"add_env": {"A B": "x"}},
            {"add_env": {"A=B": "x"}},
            {"add_env": {"A": "x\ny"}},
            {"add_env": {"A": "x\0"}},
            {"add_headers": {"A": "x\r\nB: y"}},
            {"add_env": {"A": "1"}, "remove_env": ["A"]},
            {"add_headers": {"A": "1"}, "remove_headers": ["a"]},
            {"add_env": {"A": "1"}, "env": {"A": "1"}},
            {"remove_env": "A"},
            {"remove_headers": [1]},
            {"new_name": ""},
            {"new_name": 1},
        ],
    )
    def test_refused(self, said: dict[str, Any]) -> None:
        """A request without a change, with a contradiction, or with a line break is refused."""
        with pytest.raises(InvalidParams):
            read_patch(said)

    @given(st.dictionaries(st.sampled_from(["disabled", "add_env", "remove_env", "headers", "x"]), JSON))
    def test_anything(self, said: dict[str, Any]) -> None:
        """A request of any form is read, or refused as the caller's mistake."""
        try:
            read_patch(said)
        except InvalidParams:
            pass


class EditsTests:
    """The edits that a request becomes."""

    def test_the_name_comes_last(self) -> None:
        """The edits use the old name, and the renaming comes last."""
        patch = Patch(False, {"A": "1"}, ("B",), {}, (), "new")
        entry = {"command": "x", "disabled": True, "env": {"B": "2"}}
        assert patch.edits("s", entry) == (
            Put(("s", "env", "A"), "1"),
            Remove(("s", "env", "B")),
            Put(("s", "disabled"), False),
            Rename(("s",), "new"),
        )

    def test_one_list(self) -> None:
        """Where variables are one list, nothing that was set is lost by what is taken away."""
        patch = Patch(add_env={"A": "1"}, remove_env=("B",))
        assert patch.edits("s", {"env": ["B=2", "C=3"]})[-1] == Put(("s", "env"), ["C=3", "A=1"])

    def test_nothing(self) -> None:
        """A change that is in force already becomes no edit."""
        assert Patch(False, {"A": "1"}, ("B",), {}, (), "s").edits("s", {"env": {"A": "1"}}) == ()

    def test_what_is_powerful(self) -> None:
        """Values are as powerful as a command; a switch and a name are not."""
        assert Patch(remove_headers=("A",)).gives
        assert not Patch(disabled=True, new_name="x").gives

    def test_no_value_is_shown(self) -> None:
        """Values stand in no representation."""
        assert "secret" not in repr(Patch(add_env={"A": "secret"}, add_headers={"B": "secret"}))


NAMES = st.sampled_from(["A", "B_1", "MY.DOTTED.NAME", "X-Key"])
TEXTS = st.sampled_from(["1", "two words", "a=b", "# no", "'", "${X:-y}", "ü", "", "very secret", "null"])
VARIABLES = st.dictionaries(NAMES, TEXTS, max_size=4)
ENTRIES = st.fixed_dictionaries(
    {"command": st.sampled_from(["run", ["run", "a b"]])},
    optional={
        "env": VARIABLES | VARIABLES.map(lambda held: [f"{k}={v}" for k, v in held.items()]),
        "headers": VARIABLES,
        "args": st.lists(TEXTS, max_size=3),
        "timeout": st.integers(0, 9) | st.just("30s"),
        "lazy": st.fixed_dictionaries(
            {}, optional={"prewarm": st.booleans(), "idleTimeoutMs": st.integers(0, 9)}
        ),
        "shield": st.fixed_dictionaries(
            {}, optional={"tools": st.dictionaries(NAMES, st.just("off"), max_size=2)}
        ),
        "cwd": st.just("/tmp"),
        "_note": TEXTS,
    },
)
SETS = st.one_of(
    st.tuples(NAMES.map("env.{}".format), TEXTS),
    st.tuples(NAMES.map("headers.{}".format), TEXTS),
    st.tuples(NAMES.map("shield.tools.{}".format), st.sampled_from(["lean", "off"])),
    st.tuples(st.just("args"), st.lists(TEXTS, max_size=3)),
    st.tuples(st.sampled_from(["timeout", "lazy.idleTimeoutMs"]), st.integers(0, 9)),
    st.tuples(st.just("lazy.prewarm"), st.booleans()),
    st.tuples(st.sampled_from(["cwd", "_note", "description"]), TEXTS),
)
GONE = st.one_of(
    NAMES.map("env.{}".format),
    NAMES.map("headers.{}".format),
    NAMES.map("shield.tools.{}".format),
    st.sampled_from(["args", "timeout", "lazy", "lazy.prewarm", "shield", "cwd", "_note", "env"]),
)


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """The body of a PATCH whose keys have nothing to do with each other."""
    wanted = dict(draw(st.lists(SETS, max_size=4)))
    gone = draw(st.lists(GONE, max_size=3, unique=True))
    keys = [*wanted, *gone]
    apart = all(
        not overlapping([key_path_of(a), key_path_of(b)]) for i, a in enumerate(keys) for b in keys[:i]
    )
    assume(keys and apart)
    return {**({"set": wanted} if wanted else {}), **({"unset": gone} if gone else {})}


def expected(entry: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """Return the meaning of an entry after a change, worked out on plain mappings."""
    made: dict[str, Any] = json.loads(json.dumps(entry))
    if isinstance(made.get("env"), list):
        made["env"] = dict(each.split("=", 1) for each in made["env"])
    for key, value in body.get("set", {}).items():
        *above, last = key_path_of(key)
        held = made
        for step in above:
            held = held.setdefault(step, {})
        held[last] = value
    for key in body.get("unset", ()):
        *above, last = key_path_of(key)
        held = made
        for step in above:
            held = held.get(step, {})
        held.pop(last, None)
    return made


def as_meant(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry whose variables are a mapping, however they are written."""
    held = entry.get("env")
    return {**entry, "env": dict(each.split("=", 1) for each in held)} if isinstance(held, list) else entry


class FileTests:
    """The text of a file after a request."""

    @given(
        ENTRIES, bodies(), st.sampled_from(["block.yaml", "flow.yaml", "list.yaml", "f.json", "list.json"])
    )
    def test_the_rest_stays(self, entry: dict[str, Any], body: dict[str, Any], file: str) -> None:
        """The file means the change for any entry and any request, and the rest of it stays."""
        text = written(entry, file)
        edits = read_patch(body).edits("s", entry)
        made = text
        for each in edits:
            made = edit(made, file, rooted(each, ("servers", "s")))
        held = parse(made, file).value["servers"]
        if isinstance(held, list):
            held = {each.pop("name"): each for each in held}
        assert as_meant(held["s"]) == expected(entry, body)
        assert touched("s", entry, edits).items() <= held["s"].items()
        for line in text.splitlines():
            if "hush" in line or line.startswith("#"):
                assert line in made.splitlines()
        assert made == text or edits
        assert read_patch(body).edits("s", held["s"]) == ()


def written(entry: dict[str, Any], file: str) -> str:
    """A file with an entry between two others, in one of three forms."""
    neighbour = '{"command": "run", "env": {"T": "hush"}}'
    inner = json.dumps(entry)
    if file == "list.json":
        listed = (f'\n {{"name": "{name}", {held[1:]}' for name, held in (("a", neighbour), ("s", inner)))
        return f'{{"servers": [{",".join(listed)}\n]}}\n'
    if file == "list.yaml":
        lines = (f"\n  {json.dumps(key)}: {json.dumps(value)}  # {key}" for key, value in entry.items())
        last = f"- {{name: a, {neighbour[1:]}  # last"
        return f"# top\nservers:\n- name: s  # first{''.join(lines)}\n{last}\n# end\n"
    if file == "f.json":
        return f'{{"servers": {{\n "a": {neighbour},\n "s": {inner},\n "z": {neighbour}\n}}}}\n'
    if file == "block.yaml":
        lines = (f"\n    {json.dumps(key)}: {json.dumps(value)}  # {key}" for key, value in entry.items())
        inner = "".join(lines)
    return f"# top\nservers:\n  a: {neighbour}  # first\n  s: {inner}\n  z: {neighbour}  # last\n# end\n"


class KeyTests:
    """Dotted keys."""

    @pytest.mark.parametrize(
        ("key", "key_path"),
        [
            ("timeout", ("timeout",)),
            ("lazy.idleTimeoutMs", ("lazy", "idleTimeoutMs")),
            ("env.A.B", ("env", "A.B")),
            ("headers.X-A.b", ("headers", "X-A.b")),
            ("shield.tools.a.b", ("shield", "tools", "a.b")),
            ("inject_args.p.q", ("inject_args", "p.q")),
            ("oauth.client_id", ("oauth", "client_id")),
            ("_note.x", ("_note.x",)),
        ],
    )
    def test_roads(self, key: str, key_path: tuple[str, ...]) -> None:
        """Names that anybody chooses are whole, whatever dots they have."""
        assert key_path_of(key) == key_path

    @pytest.mark.parametrize(
        "key", ["", ".", "env.", "lazy.", "lazy.x", "nothing", "args.0", "command.x", "name"]
    )
    def test_none(self, key: str) -> None:
        """A key that no server has is refused as unknown."""
        with pytest.raises(InvalidParams):
            key_path_of(key)
