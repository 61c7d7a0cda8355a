import assert from "node:assert/strict";
import { test } from "node:test";
import {
  asCsv,
  asJsonLines,
  type Call,
  type OneCall,
  placeOf,
  queryOf,
  repeatable,
  waterfall,
  whoOf,
  withNew,
} from "../src/calls";

function call(id: string, more: Partial<Call> = {}): Call {
  const made = {
    at: `2026-11-24T01:00:00.00000${id}Z`,
    id,
    kind: "call",
    server: "notes",
    principal: "local",
  };
  return { ...made, method: "tools/call", tool: "find", ms: 10, outcome: "ok", ...more };
}

test("a choice is a query, and says nothing of what is not chosen", () => {
  const none = { server: "", tool: "", client: "", outcome: "", text: " ", slowerThan: 0, minutes: 60 };
  assert.equal(queryOf(none).toString(), "minutes=60");
  const some = { ...none, server: "a b", tool: "find", client: "c", text: " x ", slowerThan: 99.5 };
  assert.equal(queryOf(some).toString(), "minutes=60&server=a+b&tool=find&client=c&text=x&slower_than=99");
  assert.equal(queryOf({ ...none, outcome: "failed" }).toString(), "minutes=60&failed=true");
  assert.equal(queryOf({ ...none, outcome: "timeout" }).toString(), "minutes=60&outcome=timeout");
});

test("new calls come first, each once, and the oldest are dropped", () => {
  const first = withNew([], [call("1"), call("2")], 3);
  assert.deepEqual(
    withNew(first, [call("2"), call("3"), call("3"), call("4")], 3).map((each) => each.id),
    ["4", "3", "2"],
  );
  assert.equal(placeOf(call("1")), "2026-11-24T01:00:00.000001Z/1");
});

test("a call is by its client, or by its principal", () => {
  assert.equal(whoOf(call("1", { client: "Claude Code" })), "Claude Code");
  assert.equal(whoOf(call("1")), "local");
});

test("a waterfall has the questions below the time with the server, and no bar is invisible or too far right", () => {
  const rows = waterfall({
    phases: [
      { name: "judge", what: "was read", at: 0, ms: 0.01 },
      { name: "upstream", what: "was with the server", at: 0.01, ms: 99 },
      { name: "write", what: "was passed on", at: 99.99, ms: 0.01 },
    ],
    questions: [{ method: "elicitation/create", id: "9", at: 20, ms: 50 }],
  });
  assert.deepEqual(
    rows.map((each) => each.name),
    ["judge", "upstream", "elicitation/create", "write"],
  );
  assert.deepEqual(rows[2], {
    ...{ at: 20, ms: 50, name: "elicitation/create", left: 0.2, width: 0.5, isWaiting: true },
    what: "the server asked, and waited for the client",
  });
  for (const each of rows) assert.ok(each.width >= 0.004 && each.left + each.width <= 1.0001);
  assert.deepEqual(waterfall({ phases: [], questions: [] }), []);
});

test("a recorded call of a tool can be made again, and no other", () => {
  const params = { name: "find", arguments: { text: "x" } };
  const one = (message: Record<string, unknown>): OneCall => ({
    ...{ record: call("1"), phases: [], questions: [], is_recorded: true },
    messages: [{ at: "", direction: "to-server", bytes: 9, message }],
  });
  assert.deepEqual(repeatable(one({ method: "tools/call", params })), {
    ...{ server: "notes", tool: "find" },
    args: { text: "x" },
    left: [],
  });
  assert.equal(repeatable(one({ method: "tools/list" })), undefined);
  const secrets = { text: "x", password: "y", deep: { of: ["***REDACTED***"] } };
  const again = repeatable(one({ method: "tools/call", params: { arguments: secrets } }));
  assert.deepEqual(again, { server: "notes", tool: "find", args: { text: "x" }, left: ["password", "deep"] });
});

test("CSV quotes what it must, and no spreadsheet runs a server's text", () => {
  const lines = asCsv([call("1", { error: '=1+1, "quoted"\nline' }), call("2")]).split("\r\n");
  assert.equal(lines[0], "at,id,server,method,tool,client,project,pid,principal,ms,outcome,error");
  assert.ok(lines[1]?.endsWith(`,10,ok,"'=1+1, ""quoted""\nline"`));
  assert.equal(lines[2], "2026-11-24T01:00:00.000002Z,2,notes,tools/call,find,,,,local,10,ok,");
  assert.deepEqual(JSON.parse(asJsonLines([call("1")])), call("1"));
});
