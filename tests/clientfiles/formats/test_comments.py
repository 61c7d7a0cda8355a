"""Comments of the user in enrolled entries."""

import json

import pytest

from mcpgateway.clientfiles.formats import syntax
from mcpgateway.clientfiles.formats.rewrite import exchange, give_back, replace
from mcpgateway.config.edit import edits
from mcpgateway.config.edit.edits import Put, same, spliced
from tests.support.client_files import BASE, NAMES, dialect_of, text_of, wishes_for

JSONC = """{
  "mcp": {
    // the first one
    "notes": { // of the team
      "type": "local",
      "command": ["npx", "notes"], // pinned
      "environment": {"A": "1"}
    }
  }
}
"""
ENROLLED = """{
  "mcp": {
    // the first one
    "notes": {
      // ask Ada
      "type": "remote",
      "url": "http://localhost:9100/notes/mcp", // the gateway
      "environment": {"A": "1"}
      /* the end */
    }
  }
}
"""
RESTORED = """{
  "mcp": {
    // the first one
    "notes": { // of the team
      // ask Ada
      "type": "local",
      "command": ["npx", "notes"], // pinned
      // the gateway
      "environment": {"A": "1"}
      /* the end */
    }
  }
}
"""
KEY_PATH = ("mcp", "notes")
TOML = '[mcp_servers.two]  # mine\n# of the team\ncommand = "npx"\nargs = ["two"]  # pinned\n\n[profile]\nx = 1\n'


def of(text, key_path):
    """Return the value of a JSON text at a key path."""
    return edits.at(syntax.read(text, "opencode.jsonc"), key_path)


class JsonTests:
    def test_to_the_byte(self):
        """The comments of the user stand in the restored entry where they stood in the enrolled one."""
        ours = of(ENROLLED, KEY_PATH)
        enrolled, replaced = replace(JSONC, "opencode.jsonc", [(KEY_PATH, ours)])
        assert "pinned" not in enrolled
        given = give_back(ENROLLED, "opencode.jsonc", dialect_of("opencode/opencode.jsonc"), BASE, replaced)
        assert given.text == RESTORED
        assert given.uncommented == ()

    def test_on_one_line(self):
        """An original on one line has a comment of the user between /* and */."""
        text = '{"mcpServers": {"pg": {"command": "npx", "args": ["pg"]}}}\n'
        _, replaced = replace(
            text, "mcp.json", [(("mcpServers", "pg"), {"url": "http://localhost:9100/pg/mcp"})]
        )
        now = '{"mcpServers": {"pg": {\n"url": "http://localhost:9100/pg/mcp" // mine\n}}}\n'
        given = give_back(now, "mcp.json", dialect_of("cursor/mcp.json"), BASE, replaced)
        assert given.text == text.replace('"command"', '/* mine */ "command"')

    def test_no_place(self):
        """A comment that cannot stand in the original's line is dropped, and the entry is named."""
        text = '{"mcpServers": {"pg": {"command": "npx", "args": ["pg"]}}}\n'
        _, replaced = replace(
            text, "mcp.json", [(("mcpServers", "pg"), {"url": "http://localhost:9100/pg/mcp"})]
        )
        now = '{"mcpServers": {"pg": {"url": "http://localhost:9100/pg/mcp" // a */ b\n}}}\n'
        given = give_back(now, "mcp.json", dialect_of("cursor/mcp.json"), BASE, replaced)
        assert (given.text, given.uncommented) == (text, ("pg",))

    def test_enrolled_anew(self):
        """An entry that gets another address keeps the comments of its user, and none of the original's."""
        there = json.loads(
            '{"type": "remote", "url": "http://localhost:9200/notes/mcp", "environment": {"A": "1"}}'
        )
        _, (first,) = replace(JSONC, "opencode.jsonc", [(KEY_PATH, of(ENROLLED, KEY_PATH))])
        made, _, lost = exchange(ENROLLED, "opencode.jsonc", [(KEY_PATH, there)], {KEY_PATH: first.written})
        assert all(each in made for each in ("// ask Ada", "// the gateway", "/* the end */", ":9200/"))
        assert "pinned" not in made
        assert lost == ()

    def test_a_changed_original(self):
        """An original with a new value keeps its other text: comments, order and all."""
        _, (first,) = replace(JSONC, "opencode.jsonc", [(KEY_PATH, of(ENROLLED, KEY_PATH))])
        newer = type(first)(
            KEY_PATH, "notes", {**first.former, "environment": {"A": "2"}}, first.ours, first.written
        )
        now = ENROLLED.replace('"A": "1"', '"A": "2"')
        given = give_back(now, "opencode.jsonc", dialect_of("opencode/opencode.jsonc"), BASE, [newer])
        assert given.text == RESTORED.replace('"A": "1"', '"A": "2"')


class TomlTests:
    def test_to_the_byte(self):
        """The comments of the user stand in the restored table where they stood in the enrolled one."""
        key_path = ("mcp_servers", "two")
        enrolled, replaced = replace(
            TOML, "config.toml", [(key_path, {"url": "http://localhost:9100/two/mcp"})]
        )
        now = enrolled.replace("url =", "# ask Ada\n# or Bob\nurl =").replace('/mcp"', '/mcp"  # the gateway')
        given = give_back(now, "config.toml", dialect_of("codex/config.toml"), BASE, replaced)
        assert given.text == TOML.replace("# of the team\n", "# of the team\n# ask Ada\n# or Bob\n").replace(
            "# pinned", "# the gateway  # pinned"
        )


class SampleTests:
    @pytest.mark.parametrize("by_command", [False, True])
    @pytest.mark.parametrize("name", NAMES)
    def test_every_client(self, name, by_command):
        """A comment that is added to an enrolled entry is in the restored file, whose value is the former one."""
        text = text_of(name)
        after, replaced = replace(text, name, wishes_for(name, text, by_command=by_command))
        now = _with_comment(name, after, replaced[0].key_path)
        given = give_back(now, name, dialect_of(name), BASE, replaced)
        assert same(syntax.read(given.text, name), syntax.read(text, name))
        assert given.uncommented == ()
        assert given.text.count("zq9") == now.count("zq9")
        assert [each for each in given.text.splitlines() if "zq9" not in each] == text.splitlines()


def _with_comment(name, text, key_path):
    """Return a text with a comment above the first line of an entry; the same text where it has no line of its own."""
    form = syntax.form_of(name, text)
    parts = syntax.opened(text, name, form, [key_path[:-1]]).change(Put(key_path, {}))
    at = text.find("\n", parts[0].start)
    if not 0 <= at < parts[0].end:
        return text
    words = "\n  // zq9" if form is syntax.TextForm.JSON else "\n    # zq9"
    return spliced(text, [type(parts[0])(at, at, words)])
