import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser, follow, type StreamEvent } from "../src/stream";

const TEXT =
  'retry: 1000\n\n: still there\n\nid: 1\nevent: server.state\ndata: {"a":1}\n\ndata: one\r\ndata:two\r\n\r\nid: 2\rdata\r\rdata: lost';

const EVENTS: StreamEvent[] = [
  { id: "1", event: "server.state", data: '{"a":1}' },
  { id: "1", event: "message", data: "one\ntwo" },
  { id: "2", event: "message", data: "" },
];

test("a stream is taken apart alike in pieces of every size", () => {
  for (let size = 1; size <= TEXT.length; size++) {
    const parser = new EventParser();
    const found: StreamEvent[] = [];
    for (let at = 0; at < TEXT.length; at += size) found.push(...parser.push(TEXT.slice(at, at + size)));
    assert.deepEqual(found, EVENTS, `pieces of ${size}`);
    assert.equal(parser.lastId, "2");
  }
});

test("a stream is opened again after its last event, and later each time", async () => {
  const ending = new AbortController();
  const asked: string[] = [];
  const waits: number[] = [];
  const replies = [
    "id: 7\ndata: x\n\n",
    undefined,
    undefined,
    undefined,
    undefined,
    "data: y\n\n",
    undefined,
  ];
  const heard: string[] = [];
  await follow(
    async (lastId) => {
      asked.push(lastId);
      const text = replies[asked.length - 1];
      if (text === undefined) throw new Error("refused");
      return new Response(text);
    },
    {
      signal: ending.signal,
      onEvent: (event) => heard.push(event.data),
      wait: async (ms) => {
        waits.push(ms);
        if (waits.length === replies.length) ending.abort();
      },
    },
  );
  assert.deepEqual(heard, ["x", "y"]);
  assert.deepEqual(asked, ["", "7", "7", "7", "7", "7", "7"]);
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 8000, 1000, 2000]);
});
