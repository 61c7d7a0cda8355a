import assert from "node:assert/strict";
import { test } from "node:test";
import { type Circumstances, startAt } from "../src/recovery";

const CRASHED: Circumstances = {
  isWanted: true,
  ending: "crashed",
  wasHere: true,
  missedAt: 1000,
  triedAt: 0,
  failures: 0,
};

test("a gateway that has crashed is started after 30, 60, and then 120 seconds", () => {
  assert.equal(startAt(CRASHED), 31_000);
  assert.equal(startAt({ ...CRASHED, triedAt: 31_000, failures: 1 }), 91_000);
  assert.equal(startAt({ ...CRASHED, triedAt: 91_000, failures: 2 }), 211_000);
  assert.equal(startAt({ ...CRASHED, triedAt: 211_000, failures: 9 }), 331_000);
});

test("with the window it is started at once, and again after 30, 60 and 120 seconds where that fails", () => {
  const opened: Circumstances = { ...CRASHED, wasHere: false, ending: "ended" };
  assert.equal(startAt(opened), 1000);
  assert.equal(startAt({ ...opened, triedAt: 1000, failures: 1 }), 31_000);
  assert.equal(startAt({ ...opened, triedAt: 31_000, failures: 2 }), 91_000);
  assert.equal(startAt({ ...opened, triedAt: 91_000, failures: 3 }), 211_000);
});

test("it is never started against a stop of its user, nor where nobody wants it", () => {
  for (const wasHere of [true, false])
    for (const failures of [0, 1, 5]) {
      assert.equal(startAt({ ...CRASHED, wasHere, failures, ending: "stopped" }), undefined);
      assert.equal(startAt({ ...CRASHED, wasHere, failures, isWanted: false }), undefined);
    }
});

test("it stays away where it was ended in order while the window is open", () => {
  assert.equal(startAt({ ...CRASHED, ending: "ended" }), undefined);
});
