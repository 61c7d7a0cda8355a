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

test("a line of another program's command becomes the server that it adds", () => {
  const notes = { command: "npx", args: ["-y", "notes-mcp"], env: { KEY: "a=b" } };
  for (const line of [
    "claude mcp add notes -e KEY=a=b -- npx -y notes-mcp",
    "$ claude mcp add --scope user notes --env KEY=a=b -- npx -y notes-mcp",
    "claude mcp add -s=user --transport stdio \\\n  --env=KEY=a=b notes npx -- -y notes-mcp",
    "codex mcp add notes --env KEY=a=b -- npx -y notes-mcp",
    `claude mcp add-json notes '${JSON.stringify(notes)}'`,
    "```sh\nclaude mcp add notes -e KEY=a=b -- npx -y notes-mcp\n```",
  ])
    assert.deepEqual(pasted(line), [{ name: "notes", config: notes }], line);
  assert.deepEqual(
    pasted(
      "claude mcp add --transport http linear https://mcp.linear.app/mcp --header 'Authorization: Bearer x:y'",
    ),
    [
      {
        name: "linear",
        config: { url: "https://mcp.linear.app/mcp", headers: { Authorization: "Bearer x:y" } },
      },
    ],
  );
  assert.deepEqual(pasted("codex mcp add linear --url https://mcp.linear.app/mcp"), [
    { name: "linear", config: { url: "https://mcp.linear.app/mcp" } },
  ]);
});

test("an install link becomes the server that it holds", () => {
  const entry = { command: "npx", args: ["-y", "notes-mcp"] };
  const text = JSON.stringify(entry);
  for (const link of [
    `cursor://anysphere.cursor-deeplink/mcp/install?name=notes&config=${encodeURIComponent(btoa(text))}`,
    `vscode:mcp/install?${encodeURIComponent(JSON.stringify({ name: "notes", ...entry }))}`,
    `https://insiders.vscode.dev/redirect/mcp/install?name=notes&config=${encodeURIComponent(text)}`,
  ])
    assert.deepEqual(pasted(link), [{ name: "notes", config: entry }], link);
});

test("a text that defines no server says so", () => {
  for (const text of [
    "",
    "   ",
    "{",
    "{}",
    '{"mcpServers": {}}',
    "https://",
    "A=1",
    "echo 'open",
    "claude mcp add notes",
    "claude mcp add notes -e KEY -- npx x",
    "vscode:mcp/install?x",
    "[mcp_servers.x]",
  ])
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

test("an OpenAPI document is named by its URL or its file", () => {
  const url = "https://api.pets.example/v1/openapi.json";
  assert.deepEqual(pasted(url), [{ name: "pets", config: { openapi: url } }]);
  assert.deepEqual(pasted("./shop-api.yaml"), [{ name: "shop-api", config: { openapi: "./shop-api.yaml" } }]);
  assert.throws(() => pasted('{"openapi": "3.1.0", "paths": {}}'), NotUnderstood);
  assert.deepEqual(pasted(`{"pets": {"openapi": "${url}"}}`)[0]?.name, "pets");
});
