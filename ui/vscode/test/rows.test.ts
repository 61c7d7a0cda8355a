import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "@mcpgateway/core/calls";
import type { Overview, Server, ToolRow } from "@mcpgateway/core/model";
import { barOf } from "../src/bar";
import { clientRows } from "../src/client_rows";
import { callRows, gatewayRows, groupRows, kindOf, serverRows, toolRows } from "../src/rows";
import type { Known } from "../src/watch";

const server = (name: string, more: Partial<Server> = {}): Server =>
  ({
    name,
    title: name,
    state: "stopped",
    enabled: true,
    pids: [],
    sessions: 0,
    tool_count: null,
    is_own: true,
    group: "",
    group_title: "",
    memory_mb: null,
    transport: "stdio",
    runs: "",
    source: "",
    restart_count: 0,
    ...more,
  }) as Server;

const NEED = {
  id: "1",
  level: "error",
  kind: "server",
  name: "notes",
  cause: "",
  says: "its program is not there",
  do: "install it",
  run: "",
  action: "set",
  key: "command",
  since: "",
  actions: [],
} as const;
const OVERVIEW = {
  verdict: "1 thing needs you",
  needs: [NEED],
  ok: false,
  servers: 3,
  running: 1,
  sessions: 2,
  uptime_seconds: 90,
  memory_mb: 50,
  saved: { processes: 31, memory_mb: 2900, tokens_today: 0 },
  backends: [{ pids: [1, 2] }],
  version: "1.0",
} as unknown as Overview;

test("the gateway is a row with its figures, and each need is one that a screen reader understands", () => {
  const [first, need] = gatewayRows(OVERVIEW);
  assert.equal(first?.label, "1 thing needs you");
  assert.match(first?.description ?? "", /up 1 min 30 s · 50 MB · 2 sessions/);
  assert.match(first?.tooltip ?? "", /31 processes saved/);
  assert.equal(need?.spoken, "error: notes: its program is not there. install it");
  assert.equal(need?.context, "need.server.set");
  assert.deepEqual(need?.servers, ["notes"]);
});

test("servers are told by icon, word and sentence, and menus go by the kind of the state", () => {
  const rows = serverRows(
    [
      server("up", { state: "running", pids: [7], tool_count: 3, sessions: 1 }),
      server("ill", { state: "not ready", need: { ...NEED } }),
      server("off", { enabled: false, state: "disabled" }),
      server("away", { state: "needs login", is_own: false, runs: "https://a.example/mcp" }),
    ],
    true,
  );
  assert.deepEqual(
    rows.map(({ description, context }) => [description, context]),
    [
      ["running · 1 session · 3 tools", "server.up.own.near"],
      ["not ready", "server.bad.own.near"],
      ["off", "server.off.own.near"],
      ["needs a sign-in", "server.login.foreign.far"],
    ],
  );
  assert.equal(rows[1]?.spoken, "ill, not ready, its program is not there");
  assert.equal(new Set(rows.map((each) => each.icon)).size, 4);
});

test("a group is in the state of its worst server, and stands for all of them", () => {
  const parts = [
    server("vsp-D10", { group: "D10", group_title: "SAP systems", state: "running", pids: [1] }),
    server("sap-gui-D10", { group: "D10", group_title: "SAP systems", state: "degraded", pids: [2] }),
  ];
  const [group] = serverRows(parts, true);
  assert.equal(group?.description, "degraded · 2/2");
  assert.deepEqual(group?.servers, ["vsp-D10", "sap-gui-D10"]);
  assert.equal(groupRows(parts).title, "SAP systems");
  assert.deepEqual(serverRows(parts, false), []);
});

test("a foreign text cannot hide what it is", () => {
  const [row] = toolRows("s", [
    { tool: "safe\u202Eexe", name: "s__x", offered: true, description: "a\u0007" } as ToolRow,
  ]);
  assert.equal(row?.label, "safe\\u{202e}exe");
  assert.equal(row?.tooltip, "a\\u{7}");
  assert.equal(toolRows("s", [])[0]?.context, "tools.unknown");
});

test("a call that has failed is told from one that has not", () => {
  const call = {
    at: "2026-01-01T00:00:00Z",
    id: "1",
    server: "s",
    method: "tools/call",
    tool: "t",
    ms: 4,
    client: "c",
  };
  const [good, bad] = callRows([
    { ...call, outcome: "ok" } as Call,
    { ...call, outcome: "error", error: "no" } as Call,
  ]);
  assert.equal(good?.icon, "pass");
  assert.equal(bad?.icon, "error");
  assert.match(bad?.spoken ?? "", /^s t, error, /);
});

test("clients are those that use the gateway, those that could, and their sessions", () => {
  const rows = clientRows(
    {
      enrolled: [
        { name: "claude-code", path: "/c.json", mode: "http", servers: ["a", "b"], suspended: false },
      ],
      detected: [
        { tool: "claude", title: "Claude Code", configPath: "/c.json" },
        {
          tool: "cursor",
          title: "Cursor",
          configPath: "/d.json",
          files: [{ path: "/d.json", servers: { program: 2 } }],
        },
      ],
      titles: new Map([["claude-code", "Claude Code"]]),
      sessions: [
        {
          id: "1",
          client: { name: "codex" },
          servers: ["a"],
          server: "a",
          calls: 3,
          idle_seconds: 5,
        } as never,
      ],
    },
    { id: "window", label: "This window", description: "6 of 148 tools", context: "window.offered" },
  );
  assert.deepEqual(
    rows.map(({ label, description, context }) => [label, description, context]),
    [
      ["This window", "6 of 148 tools", "window.offered"],
      ["Claude Code", "2 servers by the gateway", "client.enrolled"],
      ["Cursor", "2 servers of its own", "client.detected"],
      ["codex", "a · 3 calls · idle 5 s", "session"],
    ],
  );
});

test("the kinds of states are few", () => {
  const of = (state: string, pids: number[] = []) => kindOf({ enabled: true, state, pids });
  assert.deepEqual(
    ["running", "starting", "idle", "stopped", "error", "disabled", "unreachable", "unheard of"].map((each) =>
      of(each),
    ),
    ["up", "up", "down", "down", "bad", "bad", "bad", "down"],
  );
});

test("the status bar says how many servers run, and warns only where something needs the user", () => {
  const known = (more: Partial<Known>): Known => ({
    phase: "here",
    overview: OVERVIEW,
    servers: [],
    refusal: "",
    isStreaming: true,
    ...more,
  });
  const facts = { ending: "ended", isStarting: false, isOfProject: undefined, statusBar: "always" } as const;
  const here = barOf({ known: known({}), ...facts });
  assert.equal(here.text, "$(warning) MCP 1/3");
  assert.match(here.tooltip, /1 of 3 servers running, 2 processes\n50 MB in use/);
  assert.equal(here.isWarning, true);
  const well = barOf({
    known: known({ overview: { ...OVERVIEW, needs: [] } }),
    ...facts,
    statusBar: "attention",
  });
  assert.deepEqual([well.text, well.isWarning, well.isShown], ["$(plug) MCP 1/3", false, false]);
  assert.equal(
    barOf({ known: known({ phase: "away", overview: undefined }), ...facts }).text,
    "$(debug-disconnect) MCP off",
  );
  assert.equal(barOf({ known: known({ phase: "silent" }), ...facts }).text, "$(question) MCP ?");
  assert.equal(barOf({ known: known({}), ...facts, isOfProject: false }).isShown, false);
});
