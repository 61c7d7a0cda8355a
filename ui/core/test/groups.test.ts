import assert from "node:assert/strict";
import { test } from "node:test";
import { grouped } from "../src/groups";
import type { Server } from "../src/model";

function server(name: string, group: string, state: string, enabled = true): Server {
  return { name, group, group_title: "", state, enabled } as Server;
}

test("servers of a group stand together, in the state of the worst, and others stay alone", () => {
  const { groups, others } = grouped([
    server("a", "x", "running"),
    server("b", "", "error"),
    server("c", "x", "degraded"),
    server("d", "y", "stopped"),
    server("e", "y", "disabled", false),
    server("f", "x", "disabled", false),
  ]);
  assert.deepEqual(
    groups.map((each) => [each.name, each.status, each.servers.map((one) => one.name)]),
    [
      ["x", "degraded", ["a", "c", "f"]],
      ["y", "stopped", ["d", "e"]],
    ],
  );
  assert.deepEqual(
    others.map((each) => each.name),
    ["b"],
  );
});
