import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { faultOfToken } from "../src/connection";
import { sidesOf } from "../src/diff";
import { leveled } from "../src/log_lines";
import { absence, candidates, complaintOf, firstOf, ownEnvironment } from "../src/program";
import { doctorText } from "../src/texts";

test("a diff has its two sides, with a mark where something is left out", () => {
  const lines = [
    "--- a",
    "+++ b",
    "@@ -1,2 +1,2 @@",
    " {",
    "-old",
    "+new",
    "@@ -9 +9 @@",
    "---x",
    "+++y",
    " }",
  ];
  assert.deepEqual(sidesOf(lines), { before: "{\nold\n⋯\n--x\n}\n", after: "{\nnew\n⋯\n++y\n}\n" });
  assert.deepEqual(sidesOf(["@@ -5 +5 @@", "+a"]), { before: "⋯\n", after: "⋯\na\n" });
});

test("lines of logs have the level that they name, without the time that the channel shows", () => {
  const of = (line: string) => Object.values(leveled(line));
  assert.deepEqual(of("2026-11-25T20:18:27Z gateway [warn] slow"), ["warn", "slow"]);
  assert.deepEqual(of("2026-11-25T20:19:25+0000 [mcpgateway.hub.Slot#error] bad"), ["error", "bad"]);
  assert.deepEqual(of("2026-11-25T20:18:27Z ERROR: it is broken"), ["error", "ERROR: it is broken"]);
  assert.deepEqual(of("[github] hello"), ["info", "[github] hello"]);
});

test("the findings of the doctor are a text", () => {
  const finding = { id: "a", text: "all is well", advice: "", run: "", fixable: false, more: [], repair: "" };
  const findings = [
    { ...finding, level: "ok" },
    { ...finding, level: "error", text: "bad", advice: "mend it" },
  ];
  assert.equal(doctorText(findings), "Faults\n\n- bad\n  mend it\n\nIn order\n\n- all is well\n");
});

/** Make a directory with programs, by what they print. */
function programs(texts: Record<string, string>): string {
  const directory = mkdtempSync(join(tmpdir(), "path-"));
  for (const [name, text] of Object.entries(texts)) {
    writeFileSync(join(directory, name), `#!/bin/sh\necho '${text}'\n`);
    chmodSync(join(directory, name), 0o755);
  }
  return directory;
}

test("the program is the first on the PATH that says it is the gateway's", async () => {
  const path = programs({ "mcp-gateway": "mcp-gateway 1.9", mcpd: "mcpgateway 2.0", mcpg: "mcpgateway 1.0" });
  const found = candidates("", path, "/nobody");
  assert.deepEqual(await firstOf(found), { path: join(path, "mcpd"), version: "2.0" });
  assert.equal(await firstOf([join(path, "mcp-gateway")]), undefined);
});

test("a relative directory of the PATH, or a directory of the name, is no program", () => {
  const path = programs({ mcpgateway: "mcpgateway 1.0" });
  mkdirSync(join(path, "mcpd"));
  assert.deepEqual(candidates("", `.:${path}`, "/nobody"), [join(path, "mcpgateway")]);
  assert.deepEqual(candidates("/opt/its/gateway", path, "/nobody"), ["/opt/its/gateway"]);
  assert.deepEqual(candidates("mcpgateway", path, "/nobody"), [join(path, "mcpgateway")]);
});

test("a failure is what the program said last, and the editor's own variables stay with it", () => {
  const err = "mcpgateway: as it was\nmcpgateway: port 1 is taken\n  choose another one\n\n";
  assert.equal(complaintOf({ code: 1, out: "", err }), "port 1 is taken; choose another one");
  assert.equal(complaintOf({ code: 1, out: "some\nwords", err: "" }), "words");
  const out = '{\n  "error": "the file is locked",\n  "hint": "close it"\n}\n';
  assert.equal(complaintOf({ code: 1, out, err: "" }), "the file is locked; close it");
  assert.equal(complaintOf({ code: undefined, out: "", err: "" }), "it did not end in time");
  assert.deepEqual(ownEnvironment({ ELECTRON_RUN_AS_NODE: "1", VSCODE_PID: "7", PATH: "/bin" }), {
    PATH: "/bin",
  });
});

test("a token fits into a header", () => {
  assert.equal(faultOfToken("abc-_.~"), "");
  assert.match(faultOfToken("a b"), /no spaces/);
  assert.match(faultOfToken("a\nb"), /no spaces/);
});

test("where there is no program, its absence is told, and on Windows the way to it", () => {
  assert.equal(absence("linux"), "The program mcpgateway is not found");
  assert.match(absence("win32"), /runs on Windows in WSL/);
});
