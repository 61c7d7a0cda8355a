"""Entries of clients' files give way and come back."""

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.client_format import EntryKind, LocalGateway
from mcpgateway.clientfiles.formats.rewrite import give_back, replace, reverse, splices
from mcpgateway.config.edit import edits
from mcpgateway.config.edit.edits import Put, Remove, Rename
from mcpgateway.errors import ConfigError
from tests.support.client_files import (
    BASE,
    NAMES,
    dialect_of,
    listed_in,
    programs_in,
    text_of,
    wishes_for,
)

# What files look like besides as they are in the samples.
LOOKS = {
    "as it is": lambda text: text,
    "with CRLF": lambda text: text.replace("\r\n", "\n").replace("\n", "\r\n"),
    "with a mark of order": lambda text: "\ufeff" + text.removeprefix("\ufeff"),
    "without a last line end": lambda text: text.rstrip(),
    "with tabs": lambda text: text if "\n  -" in text or ":\n" in text else text.replace("  ", "\t"),
}


def rewritten(name, text, *, by_command=False):
    """A text with our entries, and what gave way."""
    return replace(text, name, wishes_for(name, text, by_command=by_command))


def given_back(name, text, replaced, base=BASE):
    """Return the restored text."""
    return give_back(text, name, dialect_of(name), base, replaced)


def value_of(name, text):
    """Return the value of a text."""
    return syntax.read(text, name)


class SampleTests:
    """Every client's file."""

    @pytest.mark.parametrize("by_command", [False, True])
    @pytest.mark.parametrize("look", LOOKS)
    @pytest.mark.parametrize("name", NAMES)
    def test_there_and_back(self, name, look, by_command):
        """A replaced entry is restored byte for byte, from the recorded text and by its value."""
        text = LOOKS[look](text_of(name))
        after, replaced = rewritten(name, text, by_command=by_command)
        assert after != text
        assert reverse(after, splices(text, after)) == text
        given_text = given_back(name, after, replaced)
        assert given_text.text == text
        assert list(given_text.restored) == [each.title for each in replaced]
        assert given_text.gone == given_text.modified == ()

    @pytest.mark.parametrize("name", NAMES)
    def test_only_its_entries(self, name):
        """The text outside of the replaced entries is unchanged: comments, order and all."""
        text = text_of(name)
        after, replaced = rewritten(name, text)
        _, ours = replace(after, name, [(each.key_path, each.former) for each in replaced])
        for one, other in zip(replaced, ours, strict=True):
            assert one.written in text
            assert other.written in after
            text, after = text.replace(one.written, "", 1), after.replace(other.written, "", 1)
        assert text == after

    @pytest.mark.parametrize("name", NAMES)
    def test_by_value(self, name):
        """An entry whose text is not known any more is restored with its value."""
        text = text_of(name)
        after, replaced = rewritten(name, text)
        bare = [type(each)(each.key_path, each.title, each.former, each.ours) for each in replaced]
        made = given_back(name, after, bare).text
        assert edits.same(value_of(name, made), value_of(name, text))

    @pytest.mark.parametrize("name", NAMES)
    def test_changed_meanwhile(self, name):
        """The user's changes in an entry of ours stay, and the rest of it is the original's."""
        text = text_of(name)
        after, replaced = rewritten(name, text)
        first = replaced[0]
        after = edited(name, after, Put((*first.key_path, "added"), ["by the user"]))
        made = given_back(name, after, replaced).text
        wanted = edits.changed(value_of(name, text), Put((*first.key_path, "added"), ["by the user"]), name)
        assert edits.same(value_of(name, made), wanted)

    @pytest.mark.parametrize("name", NAMES)
    def test_removed_meanwhile(self, name):
        """An entry of ours that the user has removed stays removed, and that is told."""
        text = text_of(name)
        after, replaced = rewritten(name, text)
        first = replaced[0]
        made = given_back(name, edited(name, after, Remove(first.key_path)), replaced)
        assert made.gone == (first.title,)
        wanted = edits.changed(value_of(name, text), Remove(first.key_path), name)
        assert edits.same(value_of(name, made.text), wanted)

    @pytest.mark.parametrize("name", NAMES)
    def test_renamed_meanwhile(self, name):
        """An entry of ours that the user has renamed is found by where it leads, and keeps its new name."""
        text = text_of(name)
        after, replaced = rewritten(name, text)
        first = replaced[0]
        made = given_back(name, edited(name, after, Rename(first.key_path, "other")), replaced)
        assert made.restored[0] == first.title
        wanted = edits.changed(value_of(name, text), Rename(first.key_path, "other"), name)
        assert edits.same(value_of(name, made.text), wanted)

    @pytest.mark.parametrize("name", NAMES)
    def test_taken_by_the_user(self, name):
        """An entry that leads elsewhere by now is not touched."""
        text = text_of(name)
        after, replaced = rewritten(name, text)
        first = replaced[0]
        dialect = dialect_of(name)
        (listed,) = [each for each in listed_in(name, after) if each.key_path == first.key_path]
        after = edited(name, after, Put(first.key_path, dialect.by_command(listed, ["mine", "now"])))
        made = given_back(name, after, replaced)
        assert made.modified == (first.title,)
        there = edits.at(value_of(name, made.text), first.key_path)
        assert dialect.target_of(first.key_path, there) == ("mine", "now")

    @pytest.mark.parametrize("name", [each for each in NAMES if ".json" in each])
    def test_reformatted_meanwhile(self, name):
        """A client that writes its file anew does not keep the originals from being restored."""
        text = text_of(name)
        after, replaced = rewritten(name, text)
        anew = json.dumps(value_of(name, after), indent=4)
        made = given_back(name, anew, replaced).text
        assert edits.same(value_of(name, made), value_of(name, text))
        assert all(each.written in made for each in replaced if "\r" not in each.written)

    @pytest.mark.parametrize("name", NAMES)
    def test_entries_that_go(self, name):
        """An entry for all takes the place of every entry, and all are restored with their own text."""
        text = text_of(name)
        dialect = dialect_of(name)
        programs = programs_in(name, text)
        one = dialect.fresh("mcpgateway", programs[0].key_path[:-1])
        replacements = [(one.key_path, dialect.by_command(one, ["mcpgateway", "stdio"]))]
        replacements += [(each.key_path, None) for each in programs]
        after, replaced = replace(text, name, replacements)
        assert [each.kind for each in listed_in(name, after)].count(EntryKind.PROGRAM) == 0
        assert edits.at(value_of(name, after), one.key_path) is not edits.MISSING
        assert replaced[0].former is None
        assert {each.ours for each in replaced[1:]} == {None}
        assert reverse(after, splices(text, after)) == text
        made = given_back(name, after, replaced)
        assert sorted_lists(value_of(name, made.text)) == sorted_lists(value_of(name, text))
        for each in replaced[1:]:
            assert each.written.strip() in made.text or name.endswith((".toml", ".yaml"))


def sorted_lists(value):
    """A value in which the order of named items says nothing."""
    if isinstance(value, dict):
        return {key: sorted_lists(each) for key, each in value.items()}
    if isinstance(value, list):
        return sorted(map(repr, map(sorted_lists, value)))
    return value


def edited(name, text, change):
    """Return a text as its user may have changed it."""
    form = syntax.form_of(name, text)
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    parts = syntax.opened(text.removeprefix(bom), name, form, None).change(change)
    return bom + edits.spliced(text.removeprefix(bom), parts)


class GiveBackTests:
    """The text after entries were restored."""

    NAME = "cursor/mcp.json"
    TEXT = '{"mcpServers": {"a": {"command": "x", "env": {"A": "b"}, "timeout": 5}}}\n'

    def changed(self, change, *, by_command=False):
        """Return the restored text after a change of our entry."""
        after, replaced = rewritten(self.NAME, self.TEXT, by_command=by_command)
        made = given_back(self.NAME, edited(self.NAME, after, change), replaced)
        return json.loads(made.text)["mcpServers"], made

    @pytest.mark.parametrize(
        ("change", "entry"),
        [
            (Put(("mcpServers", "a", "timeout"), 9), {"command": "x", "env": {"A": "b"}, "timeout": 9}),
            (Remove(("mcpServers", "a", "timeout")), {"command": "x", "env": {"A": "b"}}),
            (
                Put(("mcpServers", "a", "disabled"), True),
                {"command": "x", "env": {"A": "b"}, "timeout": 5, "disabled": True},
            ),
            (
                Put(("mcpServers", "a", "env"), {"C": "d"}),
                {"command": "x", "env": {"A": "b", "C": "d"}, "timeout": 5},
            ),
            (
                Put(("mcpServers", "a", "url"), "http://127.0.0.1:9100/mcp/a"),
                {"command": "x", "env": {"A": "b"}, "timeout": 5},
            ),
            (Put(("mcpServers", "a", "type"), "http"), {"command": "x", "env": {"A": "b"}, "timeout": 5}),
        ],
    )
    def test_carried_over(self, change, entry):
        """Changes that the user has made in our entry are carried over; its target is not."""
        assert self.changed(change)[0] == {"a": entry}

    @pytest.mark.parametrize(
        ("change", "entry"),
        [
            (
                Put(("mcpServers", "a", "env", "A"), "c"),
                {"command": "x", "env": {"A": "c"}, "timeout": 5},
            ),
            (Remove(("mcpServers", "a", "env")), {"command": "x", "timeout": 5}),
            (
                Put(("mcpServers", "a", "args"), ["connect", "a", "--", "y", "z"]),
                {"command": "y", "args": ["z"], "env": {"A": "b"}, "timeout": 5},
            ),
        ],
    )
    def test_carried_over_behind_our_command(self, change, entry):
        """Variables and the original command are the user's also where our program stands before them."""
        assert self.changed(change, by_command=True)[0] == {"a": entry}

    def test_another_port(self):
        """An entry is still ours when the gateway has another port by now."""
        after, replaced = rewritten(self.NAME, self.TEXT)
        assert given_back(self.NAME, after, replaced, LocalGateway(9200)).text == self.TEXT

    def test_moved(self):
        """An entry that was moved to another table of the file comes back there."""
        name = "claude-code/.claude.json"
        text = '{"mcpServers": {"a": {"command": "x"}}, "projects": {"/p": {"mcpServers": {}}}}'
        after, replaced = rewritten(name, text)
        moved = edited(name, after, Put(("projects", "/p", "mcpServers", "b"), replaced[0].ours))
        moved = edited(name, moved, Remove(("mcpServers", "a")))
        made = json.loads(given_back(name, moved, replaced).text)
        assert made == {"mcpServers": {}, "projects": {"/p": {"mcpServers": {"b": {"command": "x"}}}}}

    def test_not_ours(self):
        """An entry that led to the gateway before is nobody's but its user's."""
        text = '{"mcpServers": {"a": {"command": "x"}, "b": {"url": "http://localhost:9100/a/mcp"}}}'
        after, replaced = rewritten(self.NAME, text)
        assert given_back(self.NAME, after, replaced).text == text

    def test_two_of_one_name(self):
        """Two entries that lead to one server come back each to its own."""
        text = '{"mcpServers": {"a": {"command": "x"}, "b": {"command": "y"}}}'
        ours = {"url": "http://localhost:9100/same/mcp"}
        replacements = [(("mcpServers", "a"), ours), (("mcpServers", "b"), ours)]
        after, replaced = replace(text, self.NAME, replacements)
        assert given_back(self.NAME, after, replaced).text == text
        renamed = edited(self.NAME, after, Rename(("mcpServers", "a"), "c"))
        made = json.loads(given_back(self.NAME, renamed, replaced).text)
        assert made == {"mcpServers": {"c": {"command": "x"}, "b": {"command": "y"}}}

    def test_an_entry_that_was_not_there(self):
        """An added entry is removed, unless the user has made it into something else."""
        text = '{\n  "other": 1\n}\n'
        key_path = ("mcpServers", "mcpgateway")
        after, replaced = replace(text, self.NAME, [(key_path, {"url": "http://localhost:9100/mcp"})])
        assert given_back(self.NAME, after, replaced).text == '{\n  "other": 1,\n  "mcpServers": {\n  }\n}\n'
        mine = edited(self.NAME, after, Put((*key_path, "url"), "https://x.example"))
        made = given_back(self.NAME, mine, replaced)
        assert (made.text, made.modified) == (mine, ("mcpgateway",))

    def test_written_again(self):
        """A removed entry is not restored over what the user has written in its place."""
        after, replaced = replace(self.TEXT, self.NAME, [(("mcpServers", "a"), None)])
        assert given_back(self.NAME, after, replaced).text == self.TEXT
        mine = edited(self.NAME, after, Put(("mcpServers", "a"), {"command": "mine"}))
        assert given_back(self.NAME, mine, replaced).text == mine

    @pytest.mark.parametrize("form", ["block", "braces"])
    def test_spelling(self, form):
        """Values that an enrolled entry keeps stay as they were written: some read ``yes`` and "yes" differently."""
        kept = {
            "enabled": "yes",
            "name": "'a'",
            "timeout": "0x12",
            "bundled": "off",
            "available_tools": "[on, 'x']",
        }
        kept |= {"description": "y", "note": '"\\x41, b"'}
        members = {"cmd": "npx", "type": "stdio", **kept}
        text = {
            "block": "extensions:\n  a:\n" + "".join(f"    {key}: {each}\n" for key, each in members.items()),
            "braces": "extensions: {a: {"
            + ", ".join(f"{key}: {each}" for key, each in members.items())
            + "}}\n",
        }[form]
        after, replaced = rewritten("goose/config.yaml", text)
        assert "npx" not in after
        for key, each in kept.items():
            assert f"{key}: {each}" in after
        assert given_back("goose/config.yaml", after, replaced).text == text

    def test_spelling_unfit_in_braces(self):
        """Text without quotes that would not be one value between braces gets quotes."""
        text = "extensions:\n  a:\n    cmd: npx\n    type: stdio\n    x: [{y: z}]\n    e:\n    - a, b\n    - on\n"
        after, replaced = rewritten("goose/config.yaml", text)
        assert 'e: ["a, b", on]' in after
        assert given_back("goose/config.yaml", after, replaced).text == text

    def test_an_empty_file(self):
        """A file that has nothing in it can be given its first entry."""
        for name in ("cursor/mcp.json", "codex/config.toml", "goose/config.yaml"):
            dialect = dialect_of(name)
            new = dialect.fresh("g")
            after, _ = replace("", name, [(new.key_path, dialect.by_command(new, ["mcpgateway", "stdio"]))])
            (found,) = listed_in(name, after)
            assert found.kind is EntryKind.ENROLLED

    def test_nothing_to_do(self):
        """Without a wish, and without anything to give back, a text is what it was."""
        assert replace(self.TEXT, self.NAME, []) == (self.TEXT, ())
        assert given_back(self.NAME, self.TEXT, []).text == self.TEXT

    def test_no_secret_is_shown(self):
        """The ``repr`` of replaced and restored entries shows no value."""
        text = self.TEXT.replace('"b"', '"sesame"')
        after, replaced = rewritten(self.NAME, text)
        shown = repr((replaced, splices(text, after), given_back(self.NAME, after, replaced)))
        assert "sesame" not in shown

    @pytest.mark.parametrize(
        ("name", "text", "why"),
        [
            ("goose/x.yaml", "extensions:\n  a: &a\n    cmd: x\n    type: stdio\nb: *a\n", "by hand"),
            ("goose/x.yaml", "extensions: [\n", "not valid YAML"),
            ("cursor/x.json", '{"mcpServers": {"a": ', "not valid JSON"),
            ("codex/x.toml", "[[mcp_servers.a]]\n", "by hand"),
            ("codex/x.toml", "[mcp_servers.a]\n[mcp_servers.a]\n", "not valid TOML"),
            ("cursor/x.json", '{"mcpServers": 1}', "is no mapping"),
        ],
    )
    def test_refused(self, name, text, why):
        """An entry that cannot be changed alone is refused with the name of its file, and nothing is damaged."""
        key_path = (next(iter(dialect_of(name).tables))[0], "a")
        with pytest.raises(ConfigError, match=f"{name}.*{why}"):
            replace(text, name, [(key_path, {"url": "http://localhost:9100/a/mcp"})])

    def test_a_key_that_is_there_twice(self):
        """The last of two entries with one name counts, for every client; the other is left."""
        text = '{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}}}'
        after, replaced = rewritten(self.NAME, text)
        assert after == text.replace('{"command": "y"}', '{"url": "http://localhost:9100/a/mcp"}')
        assert given_back(self.NAME, after, replaced).text == text

    def test_a_large_file(self):
        """A file of many megabytes is passed over where nobody asked for anything."""
        history = [{"display": f'say "{{{at}" \\ é', "pastedContents": {"1": [at]}} for at in range(10_000)]
        project = {"history": history, "mcpServers": {"a": {"command": "x"}}}
        text = json.dumps({"projects": {"/p": project, "/q": {"history": history}}}, indent=2)
        name = "claude-code/.claude.json"
        after, replaced = rewritten(name, text)
        found = splices(text, after)
        assert sum(len(each.old) for each in found) < 200
        assert reverse(after, found) == given_back(name, after, replaced).text == text


# What a property holds for.

words = st.text("abcxyz-_. #:{}[]é\"'\\=,/", min_size=1, max_size=6).filter(lambda text: text.strip() == text)
scalars = st.one_of(words, st.booleans(), st.integers(-(10**9), 10**9))
notes = st.dictionaries(
    words.map(lambda key: f"n{key}"),
    scalars | st.lists(words, max_size=2) | st.dictionaries(words, scalars, max_size=2),
    max_size=2,
)
programs = st.builds(
    lambda command, args, env, note: {"command": command, "args": args, "env": env, **note},
    words,
    st.lists(words, max_size=2),
    st.dictionaries(words, words, max_size=2),
    notes,
)
remotes = st.builds(lambda note: {"url": "https://x.example/mcp", **note}, notes)
servers = st.dictionaries(words, programs | remotes, min_size=1, max_size=4)
changes = st.sampled_from(["add", "remove", "rename", "note", "other", "none"])


@st.composite
def json_files(draw):
    """A file with servers and something else, in any look."""
    held = {"before": draw(scalars), "mcpServers": draw(servers), "behind": {"a": draw(scalars)}}
    text = json.dumps(
        held, indent=draw(st.sampled_from([None, 2, 4, "\t"])), ensure_ascii=draw(st.booleans())
    )
    if draw(st.booleans()):
        text = "\n".join(f"{line} // {at}" for at, line in enumerate(text.split("\n")))
    return "cursor/mcp.json", draw_look(draw, text)


@st.composite
def toml_files(draw, *, is_apart):
    """The same in TOML, with tables below tables, or braces; perhaps with parts of a server far from the rest."""
    lines = ["top = 1 # one", ""]
    apart = []
    for title, entry in draw(servers).items():
        lines += ["", f"# about {title!r}", f"[mcp_servers.{json.dumps(title)}] # it"]
        for key, each in entry.items():
            ways = ["braces", "table", "apart"] if is_apart else ["braces", "table"]
            how = draw(st.sampled_from(ways)) if isinstance(each, dict) else ""
            if how in ("table", "apart"):
                table = [f"[mcp_servers.{json.dumps(title)}.{json.dumps(key)}]"]
                table += [f"{json.dumps(inner)} = {as_toml(value)} # x" for inner, value in each.items()]
                apart.append((how, title, table))
            else:
                lines.append(f"{json.dumps(key)} = {as_toml(each)}")
        lines += [line for how, name, table in apart if how == "table" and name == title for line in table]
    lines += ["", "[other]", "x = '''", "[mcp_servers.no]", "'''"]
    lines += [line for how, _, table in apart if how == "apart" for line in table]
    text = "\n".join(lines) + "\n"
    tomllib.loads(text)
    return "codex/config.toml", draw_look(draw, text)


def as_toml(value):
    """A value as TOML has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {as_toml(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


@st.composite
def yaml_files(draw):
    """The same in YAML: a mapping, or a list of items with names."""
    is_list = draw(st.booleans())
    lines = ["top: 1 # one", "mcpServers:" if is_list else "extensions:"]
    for title, entry in draw(servers).items():
        own = {"name": title, **entry} if is_list else goose(entry)
        lines.append(f"  # about {json.dumps(title)}")
        if draw(st.booleans()):
            said = json.dumps(own, ensure_ascii=False)
            lines.append(f"  - {said} # it" if is_list else f"  {json.dumps(title)}: {said} # it")
            continue
        lead = "  - " if is_list else "    "
        lines += [] if is_list else [f"  {json.dumps(title)}: # it"]
        for key, each in own.items():
            lines.append(f"{lead}{json.dumps(key)}: {json.dumps(each)}")
            lead = "    "
        lines[-1] += " # last"
    lines += ["other: |", "  text", "end: 2"]
    return ("continue/x.yaml" if is_list else "goose/x.yaml"), draw_look(draw, "\n".join(lines) + "\n")


def goose(entry):
    """An entry with Goose's words."""
    words_of = {"command": "cmd", "env": "envs", "url": "uri"}
    return {words_of.get(key, key): each for key, each in entry.items()}


def draw_look(draw, text):
    """A text with other line ends, a mark, or without its last line end."""
    look = draw(st.sampled_from([each for each in LOOKS if each != "with tabs"]))
    return LOOKS[look](text)


class PropertyTests:
    """Properties of any file."""

    @given(json_files() | toml_files(is_apart=False) | yaml_files(), st.booleans())
    def test_there_and_back(self, file, by_command):
        """A replaced entry of any file is restored byte for byte, from the record and by its value."""
        name, text = file
        after, replaced = rewritten(name, text, by_command=by_command)
        assert reverse(after, splices(text, after)) == text
        assert given_back(name, after, replaced).text == text

    @given(json_files() | toml_files(is_apart=True) | yaml_files(), changes, st.data())
    def test_with_another_writer(self, file, kind, data):
        """Another writer's changes are in the restored text, and so are the replaced entries."""
        name, text = file
        after, replaced = rewritten(name, text)
        every = [each.key_path for each in listed_in(name, after)]
        change = foreign(name, kind, data.draw(st.sampled_from(every)))
        try:
            theirs = edited(name, after, change) if change is not None else after
        except (ConfigError, TypeError):
            # Its own tools could not do that either.
            return
        made = given_back(name, theirs, replaced).text
        wanted = value_of(name, text)
        if change is not None:
            wanted = edits.changed(wanted, change, name)
        assert edits.same(with_table(name, value_of(name, made)), with_table(name, wanted))

    @given(st.text('ab\n{}"é', max_size=80), st.text('ab\n{}"é', max_size=80))
    @settings(deadline=None)
    def test_splices(self, before, after):
        """The splices of two texts make one of the other, for any texts."""
        assert reverse(after, splices(before, after)) == before

    @given(st.lists(st.tuples(st.integers(0, 4000), st.text("ab\n", max_size=60)), max_size=5))
    @settings(deadline=None)
    def test_splices_of_large_texts(self, places):
        """Changes far apart are noted apart from each other."""
        before = "".join(f'"key{at}": {at * at},\n' for at in range(400))
        after = before
        for at, text in places:
            after = after[:at] + text + after[at + 3 :]
        found = splices(before, after)
        assert reverse(after, found) == before
        assert sum(len(each.old) for each in found) <= 100 * (len(places) + 1)


def with_table(name, value):
    """Return the value of a text, in which a table without entries may be there or not."""
    key = next(iter(dialect_of(name).tables))[0]
    return {**value, key: value.get(key, {})}


def foreign(name, kind, key_path):
    """A change as somebody else makes it."""
    title = {"name": "new"} if name.startswith("continue") else {}
    match kind:
        case "add":
            return Put((*key_path[:-1], "new"), {**title, "url": "https://new.example"})
        case "remove":
            return Remove(key_path)
        case "rename":
            return Rename(key_path, "renamed")
        case "note":
            return Put((*key_path, "marker"), "theirs")
        case "other":
            return Put(("behind-it-all",), 1)
    return None


class ReverseTests:
    """Taking back what was noted."""

    def test_another_text(self):
        """A text other than the one that was made is left alone."""
        found = splices("one two", "one three")
        with pytest.raises(ConfigError, match="not what was made"):
            reverse("one four", found)

    def test_no_change(self):
        """The difference of two equal texts is empty."""
        assert splices("same", "same") == ()
        assert reverse("same", ()) == "same"
