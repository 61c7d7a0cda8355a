import assert from "node:assert/strict";
import { test } from "node:test";
import {
  changesOf,
  conflictsOf,
  type Field,
  fieldsOf,
  isMasked,
  kindFor,
  NotFitting,
  namesIn,
  nested,
  presentAt,
  refusedKey,
  type Schema,
  textOf,
  valueFrom,
} from "../src/settings";
import { yaml } from "../src/yaml";

const DURATION: Schema = {
  anyOf: [{ type: "number" }, { type: "string" }, { type: "null" }],
  default: "30s",
};
const SCHEMA: Schema = {
  properties: {
    command: {
      description: "The ``program``.",
      anyOf: [{ type: "string" }, { type: "array" }, { type: "null" }],
    },
    args: { type: ["array", "null"], items: { type: ["string"] } },
    env: { anyOf: [{ type: "object", additionalProperties: {} }, { type: "array" }, { type: "null" }] },
    environment: { description: "The same as ``env``.", type: "object" },
    enabled: { type: ["boolean", "null"], default: true },
    share: { enum: ["auto", "global", null], default: "auto" },
    interactive: { enum: ["auto", true, false, null] },
    timeout: DURATION,
    port: { type: ["integer", "null"] },
    lazy: {
      anyOf: [{ type: "boolean" }, { type: "object", properties: { idle: DURATION } }, { type: "null" }],
    },
    note: {},
  },
};

function field(key: string): Field {
  const found = fieldsOf(SCHEMA).find((each) => each.key === key);
  assert(found, key);
  return found;
}

test("a schema becomes fields; other names of a key, and notes, have none", () => {
  assert.deepEqual(
    fieldsOf(SCHEMA).map((each) => [each.key, each.kind]),
    [
      ["command", "text"],
      ["args", "list"],
      ["env", "names"],
      ["enabled", "choice"],
      ["share", "choice"],
      ["interactive", "choice"],
      ["timeout", "text"],
      ["port", "number"],
      ["lazy.idle", "text"],
    ],
  );
  assert.equal(field("command").says, "The program.");
  assert.deepEqual(field("enabled").choices, ["true", "false"]);
  assert.deepEqual(field("share").choices, ["auto", "global"]);
});

test("a text stands for a value of the field's type, and back", () => {
  const cases: [string, string, unknown][] = [
    ["args", "-y\nsome package\n--flag=\n", ["-y", "some package", "--flag="]],
    ["enabled", "false", false],
    ["interactive", "auto", "auto"],
    ["timeout", "20s", "20s"],
    ["timeout", "20", 20],
    ["port", "8080", 8080],
    ["command", "5", "5"],
    ["share", "", undefined],
  ];
  for (const [key, text, value] of cases)
    assert.deepEqual(valueFrom(field(key), field(key).kind, text), value);
  assert.throws(() => valueFrom(field("port"), "number", "many"), NotFitting);
  assert.throws(() => valueFrom(field("command"), "json", "{"), NotFitting);
  for (const [key, value] of [
    ["args", ["a", "b c"]],
    ["enabled", true],
    ["timeout", 20],
  ] as const)
    assert.deepEqual(valueFrom(field(key), field(key).kind, textOf(field(key).kind, value)), value);
});

test("a command that is a list stays a list", () => {
  assert.equal(kindFor(field("command"), ["npx", "-y"]), "list");
  assert.equal(kindFor(field("command"), "npx"), "text");
  assert.equal(kindFor(field("command"), undefined), "text");
});

const PRESENT = { command: "npx", env: { "A.B": "•••", C: "x" }, lazy: { idle: "5s" }, timeout: "30s" };

test("only what differs is a change; an empty draft takes a key away that is there", () => {
  assert.deepEqual(
    changesOf(PRESENT, { command: "npx", timeout: "9s", cwd: undefined, "lazy.idle": undefined }),
    {
      set: { timeout: "9s" },
      unset: ["lazy.idle"],
    },
  );
  assert.deepEqual(changesOf(PRESENT, { "env.A.B": undefined, "env.NEW": "v" }), {
    set: { "env.NEW": "v" },
    unset: ["env.A.B"],
  });
});

test("variables have names with dots, and may be a list of pairs", () => {
  assert.equal(presentAt(PRESENT, "env.A.B"), "•••");
  assert.equal(presentAt({ env: ["A=b=c"] }, "env.A"), "b=c");
  assert.deepEqual(namesIn(["A=b", "C=d"]), ["A", "C"]);
  assert.deepEqual(namesIn(PRESENT.env), ["A.B", "C"]);
  assert.deepEqual(namesIn(undefined), []);
});

test("only what a file sets is present in a form, as the file has it", () => {
  const values = {
    http_port: { value: 9200, from: "--port" },
    "limits.spawns": { value: 3, from: "/x/config.yaml:4" },
    "limits.calls": { value: 9, from: "/x/config.yaml:5" },
    ui: { value: true, from: "default" },
  };
  assert.deepEqual(nested(values), { limits: { spawns: 3, calls: 9 } });
});

test("a secret that is not shown is known by its mask", () => {
  assert(isMasked(["--token=•••"]));
  assert(isMasked(PRESENT.env));
  assert(!isMasked(["--token"]));
  assert(!isMasked(undefined));
});

test("what somebody else has changed is named, and whether this form changes it too", () => {
  const now = { ...PRESENT, timeout: "60s", lazy: {}, cwd: "/tmp" };
  assert.deepEqual(
    conflictsOf(PRESENT, now, ["timeout", "share"]).map((each) => [each.key, each.now, each.isMine]),
    [
      ["lazy.idle", undefined, false],
      ["timeout", "60s", true],
      ["cwd", "/tmp", false],
    ],
  );
  assert.deepEqual(conflictsOf(PRESENT, PRESENT, ["timeout"]), []);
});

test("YAML quotes what would be read as something else", () => {
  const value = {
    command: "npx",
    args: ["-y", "a b", "yes", "1"],
    env: { A: "${B}" },
    on: true,
    none: {},
    deep: [{ x: 1, z: 2 }],
  };
  assert.equal(
    yaml(value),
    [
      "command: npx",
      "args:",
      '  - "-y"',
      "  - a b",
      '  - "yes"',
      '  - "1"',
      "env:",
      '  A: "${B}"',
      '"on": true',
      "none: {}",
      "deep:",
      "  - x: 1",
      "    z: 2",
    ].join("\n"),
  );
});

test("a refusal names the key of its field, or none", () => {
  const told =
    "nothing was changed: /x/config.json, line 1: servers.kept.lazy.enabled: found 'x'; expected true";
  assert.equal(refusedKey(told, "servers.kept."), "lazy.enabled");
  assert.equal(refusedKey(told, "servers.other."), undefined);
  assert.equal(refusedKey("gateway.ping_interval: found 'x'", "gateway."), "ping_interval");
  assert.equal(refusedKey("the gateway stops", "gateway."), undefined);
});
