import assert from "node:assert/strict";
import { test } from "node:test";
import { byFile, lensOf } from "../src/lens";

const PATH = "/work/project/.mcp.json";
const OWN =
  '{\n  // ours\n  "mcpServers": {"a": {"command": "a"}, "b": {"command": "b"}, "c": {"url": "http://c.example/mcp"}}\n}';

test("the servers of a client's file are led to the gateway, or back", () => {
  const found = lensOf(PATH, OWN, [], 9100);
  assert.deepEqual(found, {
    line: 2,
    title: "Let the gateway serve these 2 servers",
    command: "mcpgateway.enrolClient",
    client: { tool: "claude-code", path: PATH, label: "Claude Code" },
  });
  assert.equal(lensOf(PATH, OWN, [PATH], 9100)?.command, "mcpgateway.restoreClient");
});

test("servers that lead to the gateway by hand are left, and so are those at other URLs", () => {
  const path = "/work/.vscode/mcp.json";
  const text = '{"servers": {"a": {"url": "http://localhost:9100/a/mcp"}}}';
  assert.equal(lensOf(path, text, [], 9100)?.title, "✓ Uses the gateway");
  assert.equal(lensOf(path, text, [], 9101), undefined);
});

test("other files, and files without servers or in the middle of an edit, say nothing", () => {
  assert.equal(lensOf("/work/mcp.json", OWN, [], 9100), undefined);
  assert.equal(lensOf(PATH, '{"mcpServers": {', [], 9100), undefined);
  assert.equal(lensOf(PATH, '{"servers": {"a": {}}}', [], 9100), undefined);
});

test("faults are told in their files, without the place that the editor shows", () => {
  const fault = { level: "error" as const, file: "/a.json", line: 3, says: "/a.json:3: gateway.x: unknown" };
  const found = byFile([fault, { ...fault, file: "" }, { ...fault, line: null, says: "it is empty" }]);
  assert.deepEqual(
    [...found].map(([file, each]) => [file, each.map(({ says }) => says)]),
    [["/a.json", ["gateway.x: unknown", "it is empty"]]],
  );
});
