import assert from "node:assert/strict";
import { test } from "node:test";
import type { Server } from "../src/model";
import { outcome, setting } from "../src/operations";

const idle = { name: "notes", state: "idle", pids: [] as number[] } as unknown as Server;

test("a start tells whether the server runs, and else why it does not", () => {
  assert.deepEqual(outcome({ ...idle, pids: [7] }), { text: "notes is started", isError: false });
  assert.deepEqual(outcome({ ...idle, state: "starting" }), { text: "notes is starting", isError: false });
  const need = { cause: "x", says: "the program is not there", do: "", action: "", key: "" } as const;
  assert.deepEqual(outcome({ ...idle, need }), {
    text: "notes could not be started: the program is not there",
    isError: true,
  });
});

test("a key of an entry is set by its name", () => {
  assert.equal(setting("env.API.KEY"), "Set API.KEY");
  assert.equal(setting("headers.Authorization"), "Set Authorization");
  assert.equal(setting("command"), "Change command");
});
