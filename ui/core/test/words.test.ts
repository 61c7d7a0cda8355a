import assert from "node:assert/strict";
import { test } from "node:test";
import {
  access,
  clock,
  compared,
  count,
  counted,
  duration,
  logged,
  memory,
  milliseconds,
  plain,
  sinceStart,
  spent,
  tokens,
  UNKNOWN,
} from "../src/words";

test("a value that is not known is shown as such, and zero is not", () => {
  for (const show of [duration, memory, milliseconds, tokens]) {
    assert.equal(show(null), UNKNOWN);
    assert.equal(show(undefined), UNKNOWN);
    assert.match(show(0), /^0/);
  }
});

test("a duration has its two largest units", () => {
  assert.equal(duration(5), "5 s");
  assert.equal(duration(60), "1 min");
  assert.equal(duration(3_605), "1 h");
  assert.equal(duration(3_720), "1 h 2 min");
  assert.equal(duration(3 * 86_400 + 4 * 3600 + 59), "3 d 4 h");
  assert.equal(duration(-3), "0 s");
});

test("sizes change their unit at 1,024 MB, and tokens at 1,000", () => {
  assert.equal(memory(88), "88 MB");
  assert.match(memory(2969.6), /^2[.,]9 GB$/);
  assert.equal(tokens(999), "999");
  assert.match(tokens(6100), /^6[.,]1 k$/);
  assert.match(tokens(1_900_000), /^1[.,]9 M$/);
  assert.match(milliseconds(1240), /^1[.,]2 s$/);
});

test("a noun agrees with its count", () => {
  assert.equal(counted(1, "tool"), "1 tool");
  assert.equal(counted(2, "process", "processes"), "2 processes");
});

test("control and direction characters of a foreign text are visible", () => {
  assert.equal(plain("a\u202eb\u0007c\u001b[31md\u200be"), "a\\u{202e}b\\u{7}c\\u{1b}[31md\\u{200b}e");
  assert.equal(plain("tab\tline\nä 漢 😀"), "tab\tline\nä 漢 😀");
  assert.equal(plain("\r\u{e0041}"), "\\u{d}\\u{e0041}");
});

test("the time of day has its date where that is not today", () => {
  const now = new Date(2026, 10, 23, 12);
  assert.equal(
    clock(new Date(2026, 10, 23, 9, 5).getTime(), now),
    new Date(2026, 10, 23, 9, 5).toLocaleTimeString(),
  );
  assert.equal(
    clock(new Date(2026, 10, 22, 9, 5).getTime(), now),
    new Date(2026, 10, 22, 9, 5).toLocaleString(),
  );
  assert.equal(clock("never", now), UNKNOWN);
  assert.equal(sinceStart("2026-11-23T12:00:00+00:00", Date.parse("2026-11-23T12:01:00Z")), 60);
});

test("who needs a token is said in words", () => {
  assert.equal(access("enabled"), "every client needs a token");
  assert.equal(access("a word of a later release"), "a word of a later release");
});

test("what takes more than it would without the gateway is told as such, and nothing as nothing", () => {
  assert.deepEqual(compared(3, count, "processes"), ["3", "processes saved"]);
  assert.deepEqual(compared(0, memory, "of memory"), ["0 MB", "of memory saved"]);
  assert.deepEqual(compared(-50, memory, "of memory"), ["50 MB", "of memory more than without the gateway"]);
  assert.deepEqual(compared(undefined, count, "processes"), [UNKNOWN, "processes saved"]);
});

test("a line of a log has its time in the time zone of its reader", () => {
  const now = new Date(2026, 10, 25, 12);
  const at = new Date(2026, 10, 25, 9, 5, 7, 250);
  const shown = at.toLocaleTimeString(undefined, {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    fractionalSecondDigits: 3,
  } as Intl.DateTimeFormatOptions);
  assert.equal(logged(`${at.toISOString()} stderr ready`, now), `${shown} stderr ready`);
  assert.equal(logged(`${at.toISOString().replace("Z", "000Z")} x`, now), `${shown} x`);
  const other = logged(`${at.toISOString().slice(0, 19)}+0000 [a#info] b`, new Date(2026, 10, 26));
  assert.match(other, new RegExp(`^${at.toLocaleDateString()} .* \\[a#info\\] b$`));
  for (const line of ["no time at all", "2026-99-99T00:00:00Z x", ""]) assert.equal(logged(line, now), line);
});

test("a sum of latencies is shown in milliseconds below a second", () => {
  assert.equal(spent(840), "840 ms");
  assert.equal(spent(182_000), "3 min 2 s");
});
