import assert from "node:assert/strict";
import { test } from "node:test";
import type { Server, View } from "@mcpgateway/core/model";
import { type ChatFacts, endpointOf, leadsHere, offersOf, windowRow } from "../src/chat";
import { ancestorIn, parentsOfAll } from "../src/processes";

const VIEW = { tools: 26, all_tools: 148, tokens: 1, all_tokens: 9, topology: "0a1b2c3d" } as View;
const FACTS: ChatFacts = {
  offered: "hybrid",
  base: "http://localhost:9100",
  folders: [{ name: "a b", path: "/w/a b" }],
  servers: [
    { name: "one", enabled: true, endpoint: "/one/mcp" },
    { name: "two", enabled: false, endpoint: "/two/mcp" },
  ] as Server[],
  view: VIEW,
  pid: 7,
};

test("the chat gets one definition for a folder, with its project, the window's process and the version of the tools", () => {
  assert.deepEqual(offersOf(FACTS), [
    {
      label: "MCP Gateway",
      url: "http://localhost:9100/mcp",
      headers: { "X-Client-Pid": "7", "Mcp-Project-Path": "/w/a b" },
      version: "0a1b2c3d",
    },
  ]);
  const folders = [...FACTS.folders, { name: "b", path: "/w/b" }];
  assert.deepEqual(
    offersOf({ ...FACTS, folders }).map((each) => each.label),
    ["MCP Gateway (a b)", "MCP Gateway (b)"],
  );
  const [other] = offersOf({ ...FACTS, folders: [{ name: "ü", path: "/w/ü" }] });
  assert.equal(other?.url, "http://localhost:9100/mcp?project=%2Fw%2F%C3%BC");
  assert.equal(offersOf({ ...FACTS, folders: [] })[0]?.headers["Mcp-Project-Path"], undefined);
});

test("the setting chooses the endpoint, each server, or none", () => {
  assert.deepEqual(["hybrid", "full", "search", "profile:work", "each", "profile:../x"].map(endpointOf), [
    "/mcp",
    "/mcp/full",
    "/mcp/search",
    "/mcp/p/work",
    undefined,
    undefined,
  ]);
  assert.deepEqual(
    offersOf({ ...FACTS, offered: "each" }).map((each) => [each.label, each.url]),
    [["MCP Gateway: one", "http://localhost:9100/one/mcp"]],
  );
  assert.deepEqual(offersOf({ ...FACTS, offered: "off" }), []);
});

test("the window says how many tools its chat gets, and which file leads to the gateway already", () => {
  assert.equal(windowRow(offersOf(FACTS), VIEW, "").description, "26 of 148 tools");
  const many = windowRow(offersOf(FACTS), { ...VIEW, tools: 140 }, "");
  assert.equal(many.description, "140 of 148 tools; VS Code takes 128 of them");
  assert.equal(windowRow([], VIEW, ".vscode/mcp.json").description, "uses the gateway by .vscode/mcp.json");
  assert.equal(windowRow([], undefined, "").description, "does not use the gateway");
});

test("an mcp.json leads here by the gateway's address or its program, also with comments", () => {
  const by = (entry: object) =>
    leadsHere(`{"servers": {"x": ${JSON.stringify(entry)}, /* "no" */},} // end`, 9100);
  assert.ok(by({ type: "http", url: "http://127.0.0.1:9100/github/mcp" }));
  assert.ok(by({ command: "/home/a/.local/bin/mcpgateway", args: ["connect", "github"] }));
  assert.ok(!by({ url: "http://localhost:9101/mcp" }));
  assert.ok(!by({ url: "http://example.test:9100/mcp" }));
  assert.ok(!by({ command: "npx", args: ["mcpgateway"] }));
  assert.ok(!leadsHere("{half", 9100));
  assert.ok(!leadsHere('{"servers": {"x": {"url": "http://localhost/mcp"}}}', undefined));
});

test("a client belongs to the terminal whose shell it descends from", async () => {
  const parents = new Map([
    [9, 8],
    [8, 7],
    [7, 1],
    [5, 6],
    [6, 5],
  ]);
  assert.equal(ancestorIn(9, parents, new Set([7])), 7);
  assert.equal(ancestorIn(7, parents, new Set([7])), 7);
  assert.equal(ancestorIn(9, parents, new Set([3])), undefined);
  assert.equal(ancestorIn(5, parents, new Set([3])), undefined);
  assert.equal((await parentsOfAll()).get(process.pid), process.ppid);
});
