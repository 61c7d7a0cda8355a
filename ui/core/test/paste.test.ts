import assert from "node:assert/strict";
import { test } from "node:test";
import { NotUnderstood, nameOf, pasted, words } from "../src/paste";

test("a command line becomes a server named after its package", () => {
  assert.deepEqual(pasted("npx -y @modelcontextprotocol/server-memory@2025.1.0"), [
    {
      name: "memory",
      config: { command: "npx", args: ["-y", "@modelcontextprotocol/server-memory@2025.1.0"] },
    },
  ]);
  assert.deepEqual(pasted("$ API_KEY='a b' uvx mcp-server-git --repository /tmp/x"), [
    {
      name: "git",
      config: { command: "uvx", args: ["mcp-server-git", "--repository", "/tmp/x"], env: { API_KEY: "a b" } },
    },
  ]);
  assert.equal(pasted("/opt/tools/notes-mcp.py")[0]?.name, "notes");
});

test("a URL becomes a server named after its host", () => {
  assert.deepEqual(pasted("https://mcp.linear.app/mcp"), [
    { name: "linear", config: { url: "https://mcp.linear.app/mcp" } },
  ]);
});

test("JSON of any client becomes its servers", () => {
  const entry = { command: "uvx", args: ["mcp-server-time"] };
  for (const member of ["mcpServers", "servers", "context_servers"])
    assert.deepEqual(pasted(JSON.stringify({ [member]: { clock: entry } })), [
      { name: "clock", config: entry },
    ]);
  assert.deepEqual(pasted(JSON.stringify({ clock: entry, other: { url: "https://x.example/mcp" } })), [
    { name: "clock", config: entry },
    { name: "other", config: { url: "https://x.example/mcp" } },
  ]);
  assert.deepEqual(pasted(`"clock": ${JSON.stringify(entry)},`), [{ name: "clock", config: entry }]);
  assert.deepEqual(pasted(JSON.stringify(entry)), [{ name: "time", config: entry }]);
});

test("a text that defines no server says so", () => {
  for (const text of ["", "   ", "{", "{}", '{"mcpServers": {}}', "https://", "A=1", "echo 'open"])
    assert.throws(() => pasted(text), NotUnderstood, text);
});

test("a command line is split as a shell does", () => {
  assert.deepEqual(words(`a 'b c' "d \\" e" f\\ g "" h'i'"j"`), ["a", "b c", 'd " e', "f g", "", "hij"]);
  assert.deepEqual(words("npx \\\n  -y x"), ["npx", "-y", "x"]);
});

test("a name has no scope, version, ending or decoration", () => {
  for (const [given, expected] of Object.entries({
    "@scope/mcp-server-git@1.2.3": "git",
    "github-mcp-server": "github",
    "C:/x/My Server.exe": "my-server",
    "@@@": "server",
    "mcp-": "server",
  }))
    assert.equal(nameOf(given), expected, given);
});
