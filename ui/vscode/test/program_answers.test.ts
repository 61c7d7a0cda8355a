import assert from "node:assert/strict";
import { test } from "node:test";
import {
  agentFilesIn,
  agentFilesText,
  importOf,
  importText,
  secretsText,
  serversFilesIn,
} from "../src/program_answers";

test("files of clients are offered where a gateway could serve their servers", () => {
  const servers = { program: 1, remote: 2, ours: 0, off: 4, odd: 5 };
  const files = [
    { path: "/a.json", servers, error: "" },
    { path: "/b.json", servers: { ...servers, program: 0, remote: 0, ours: 3 }, error: "" },
    { path: "/c.json", servers: null, error: "/c.json is not JSON" },
  ];
  const found = serversFilesIn(JSON.stringify({ items: [{ tool: "cursor", title: "Cursor", files }] }));
  assert.deepEqual(found, [{ path: "/a.json", title: "Cursor", count: 3 }]);
  assert.deepEqual(serversFilesIn("no JSON"), []);
});

test("an import is shown with what stays behind", () => {
  const out = JSON.stringify({ ok: true, said: ["servers:", "  a:", "    command: a"] });
  const found = importOf({ code: 0, out, err: "a: taken from /a.json\nb: is there already\n" });
  assert.equal(
    importText(found),
    "# a: taken from /a.json\n# b: is there already\n\nservers:\n  a:\n    command: a\n",
  );
  assert.equal(importOf({ code: 0, out: '{"said": []}', err: "" }).added, "");
});

test("files for agents are told with their states", () => {
  const file = { path: "/AGENTS.md", clients: ["codex", "cursor"], state: "written", error: "" };
  const files = [file, { ...file, path: "/b", clients: [], state: "failed", error: "it is not yours" }];
  assert.deepEqual(agentFilesIn(JSON.stringify({ files })), files);
  assert.deepEqual(agentFilesIn(JSON.stringify({ items: files })), files);
  assert.equal(
    agentFilesText(files),
    "2 files for agents\n\n/AGENTS.md (codex, cursor): written\n/b: it is not yours\n",
  );
});

test("imported secrets are told by their names", () => {
  const results = [
    { name: "github", status: "ok", detail: "ok, GITHUB_TOKEN in /home/.env" },
    { name: "mail", status: "skipped", detail: "" },
  ];
  assert.equal(
    secretsText(JSON.stringify({ results })),
    "The secrets of 2 servers\n\ngithub: ok, GITHUB_TOKEN in /home/.env\nmail: skipped\n",
  );
});
