import assert from "node:assert/strict";
import { test } from "node:test";
import { quoted } from "@mcpgateway/core/snippets";
import { duplicatesIn, waysToInstall } from "../src/install";
import { answered, projectOf, SILENT } from "../src/project";

test("a project's file says whether it uses the gateway, and with which profile", () => {
  assert.deepEqual(projectOf('{"enabled": true, "profile": "work"}'), { isEnabled: true, profile: "work" });
  assert.deepEqual(projectOf('{"enabled": false}'), { isEnabled: false, profile: "" });
  assert.deepEqual(projectOf('{"mcpGateway": {"enabled": true}, "theme": "dark"}'), {
    isEnabled: true,
    profile: "",
  });
  assert.deepEqual(projectOf('{"mcpGateway": false}'), { isEnabled: false, profile: "" });
  for (const text of ["", "{half", "[]", '{"enabled": "yes"}', '{"profile": "../up"}'])
    assert.deepEqual(projectOf(text), SILENT, text);
});

test("another answer keeps all else that the file says", () => {
  const text = answered('{"clients": ["claude"], "profile": "old", "enabled": true}', {
    isEnabled: false,
    profile: "",
  });
  assert.deepEqual(JSON.parse(text), { clients: ["claude"], enabled: false });
  assert.deepEqual(projectOf(answered("{half", { isEnabled: true, profile: "p" })), {
    isEnabled: true,
    profile: "p",
  });
});

test("the program is installed by what the machine has", () => {
  assert.deepEqual(
    waysToInstall((each) => each !== "uv").map((each) => each.label),
    ["pipx", "pip"],
  );
  assert.deepEqual(
    waysToInstall(() => false),
    [],
  );
});

test("a path is one word of a shell", () => {
  assert.equal(quoted("/a b/it's.whl"), "'/a b/it'\\''s.whl'");
});

test("old processes are those that the program names", () => {
  const one = { pid: 7, server: "a", client: "cursor", rss_kib: 2048 };
  assert.deepEqual(duplicatesIn(JSON.stringify({ duplicates: { found: [one], ended: false } })), [one]);
  assert.deepEqual(duplicatesIn("half"), []);
});
