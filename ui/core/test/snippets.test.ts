import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import {
  asClientEntry,
  asCommand,
  asCurl,
  asJsonRpc,
  type PastCall,
  quoted,
  remembered,
} from "../src/snippets";

const CALL = { server: "notes", tool: "write", args: { text: 'it\'s `$HOME` "x"\n', n: 1 } };

test("a shell reads a quoted word as it was", () => {
  for (const word of ["plain", "a b", "it's", '$HOME `id` \\ "q"', "", "a\nb", "*"])
    assert.equal(execFileSync("sh", ["-c", `printf %s ${quoted(word)}`], { encoding: "utf8" }), word);
});

test("the copies hold the whole call", () => {
  const shell = (text: string) => execFileSync("sh", ["-c", text], { encoding: "utf8" }).split("\0");
  const args = shell(asCommand(CALL).replace(/^mcpgateway/, "printf '%s\\0'"));
  assert.deepEqual(args.slice(0, 4), ["tools", "call", "notes__write", "--json-args"]);
  assert.deepEqual(JSON.parse(args[4] ?? ""), CALL.args);
  const curl = shell(
    asCurl(CALL, "http://localhost:9100").replace(/^curl/, "mcpgateway() { echo T; }; printf '%s\\0'"),
  );
  assert.equal(curl[0], "http://localhost:9100/api/v1/servers/notes/call");
  assert.ok(curl.includes("Authorization: Bearer T"));
  assert.deepEqual(JSON.parse(curl.at(-2) ?? ""), { tool: "write", arguments: CALL.args });
  assert.deepEqual(JSON.parse(asJsonRpc(CALL)).params, { name: "write", arguments: CALL.args });
});

test("the history keeps fifty calls, without secrets and without huge arguments", () => {
  const call = (n: number): PastCall => ({ ...CALL, args: { n }, at: n, ms: 1, isError: false });
  let history: PastCall[] = [];
  for (let n = 0; n < 60; n++) history = remembered(history, call(n));
  assert.equal(history.length, 50);
  assert.equal(history[0]?.at, 59);
  const args = { user: "me", password: "hunter2", deep: { apiKey: "k", x: 1 } };
  assert.deepEqual(remembered([], { ...call(1), args })[0]?.args, { user: "me", deep: { x: 1 } });
  assert.deepEqual(remembered([], { ...call(1), args: { big: "x".repeat(5000) } })[0]?.args, {});
});

test("a client's entry leads to the one server of its token, or to all", () => {
  const entry = (servers: string[]) => JSON.parse(asClientEntry("T", servers, "http://h:1")).mcpServers;
  const headers = { Authorization: "Bearer T" };
  assert.deepEqual(entry(["a b"]), { "a b": { type: "http", url: "http://h:1/a%20b/mcp", headers } });
  for (const servers of [[], ["a", "b"]])
    assert.deepEqual(entry(servers), { mcpgateway: { type: "http", url: "http://h:1/mcp", headers } });
});
