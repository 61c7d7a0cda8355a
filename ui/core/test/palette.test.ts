import assert from "node:assert/strict";
import { test } from "node:test";
import { type Entry, find } from "../src/palette";

const ENTRIES: Entry[] = [
  { kind: "page", text: "Servers" },
  { kind: "page", text: "Access", words: "tokens" },
  { kind: "server", text: "github" },
  { kind: "server", text: "git" },
  { kind: "action", text: "Restart github" },
  { kind: "action", text: "Switch off github", words: "disable" },
  { kind: "tool", text: "github list_issues" },
  { kind: "tool", text: "files readManyTokens" },
];

function texts(query: string): string[] {
  return find(ENTRIES, query).shown.map((each) => each.text);
}

test("all entries are found without a query, in their order", () => {
  assert.deepEqual(
    texts("  "),
    ENTRIES.map((each) => each.text),
  );
});

test("each word must be found, in whatever order and case", () => {
  assert.deepEqual(texts("GitHub OFF"), ["Switch off github"]);
  assert.deepEqual(texts("git restart"), ["Restart github"]);
  assert.deepEqual(texts("github nothing"), []);
});

test("a whole word is better than a beginning, and that is better than a part", () => {
  assert.deepEqual(texts("git").slice(0, 2), ["git", "github"]);
  assert.deepEqual(texts("hub")[0], "github");
});

test("words of a name are words, and a shown word is better than one that is not", () => {
  assert.deepEqual(texts("tokens"), ["files readManyTokens", "Access"]);
  assert.deepEqual(texts("issues"), ["github list_issues"]);
  assert.deepEqual(texts("disable"), ["Switch off github"]);
});

test("letters may be missing, and beginnings of words be run together", () => {
  assert.equal(texts("gthub")[0], "github");
  assert.deepEqual(texts("gliss"), ["github list_issues"]);
  assert.deepEqual(texts("rgi"), ["Restart github"]);
  assert.deepEqual(texts("zz"), []);
});

test("of many that are found fifty are shown, and all are counted", () => {
  const many: Entry[] = Array.from({ length: 2000 }, (_, at) => ({
    kind: "tool",
    text: `s${at} list_${at}`,
  }));
  const found = find(many, "list");
  assert.equal(found.shown.length, 50);
  assert.equal(found.total, 2000);
});
