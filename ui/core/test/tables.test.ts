import assert from "node:assert/strict";
import { test } from "node:test";
import { look, rank } from "../src/states";
import { matches, ordered, sorted } from "../src/tables";

test("rows are sorted by numbers and by words, the unknown ones last both ways", () => {
  const rows = [{ n: 10 }, { n: null }, { n: 9 }, { n: 100 }];
  const by = (row: { n: number | null }) => row.n;
  assert.deepEqual(sorted(rows, by, false).map(by), [9, 10, 100, null]);
  assert.deepEqual(sorted(rows, by, true).map(by), [100, 10, 9, null]);
  const names = ["tool10", "Tool9", "äpfel", "zoo"];
  assert.deepEqual(
    sorted(names, (each) => each, false),
    ["äpfel", "Tool9", "tool10", "zoo"],
  );
});

test("equal rows keep their places", () => {
  const rows = [
    { id: 1, n: 5 },
    { id: 2, n: 5 },
    { id: 3, n: 4 },
  ];
  assert.deepEqual(
    sorted(rows, (each) => each.n, true).map((each) => each.id),
    [1, 2, 3],
  );
});

test("a second click on a column reverses its order", () => {
  const once = ordered({ column: "name", isDescending: false }, "calls");
  assert.deepEqual(once, { column: "calls", isDescending: false });
  assert.deepEqual(ordered(once, "calls"), { column: "calls", isDescending: true });
});

test("a filter finds rows with all of its words", () => {
  assert.ok(matches("GitHub list_issues", "issue git"));
  assert.ok(!matches("GitHub list_issues", "issue gitlab"));
  assert.ok(matches("anything", "  "));
});

test("each state has a mark and a word, and the worst come first", () => {
  const states = ["disabled", "idle", "running", "starting", "error", "needs login"];
  assert.deepEqual(
    [...states].sort((one, other) => rank(one) - rank(other)),
    ["error", "needs login", "starting", "running", "idle", "disabled"],
  );
  assert.deepEqual(look("of a later release"), { mark: "?", word: "of a later release", tone: "calm" });
});
