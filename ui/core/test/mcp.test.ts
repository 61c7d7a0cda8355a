import assert from "node:assert/strict";
import { test } from "node:test";
import { McpClient, type McpFrame, type Message } from "../src/mcp";

interface Sent {
  method: string;
  body: Message | undefined;
  headers: Record<string, string>;
}

/** A server that answers a request by a list of messages, as one JSON or as a stream. */
function endpoint(answer: (message: Message, post: (message: Message) => void) => Promise<void> | void) {
  const sent: Sent[] = [];
  const send = async (method: string, body: unknown, headers: Record<string, string>) => {
    const message = body as Message | undefined;
    sent.push({ method, body: message, headers });
    if (method !== "POST") return new Response(null, { status: method === "GET" ? 405 : 200 });
    if (message?.method === "initialize") {
      const result = { protocolVersion: "2025-06-18", capabilities: {}, serverInfo: { name: "s" } };
      return Response.json(
        { jsonrpc: "2.0", id: message.id, result },
        { headers: { "Mcp-Session-Id": "s1" } },
      );
    }
    if (message?.id === undefined || message.method === undefined) return new Response(null, { status: 202 });
    const { readable, writable } = new TransformStream<string, string>();
    const writer = writable.getWriter();
    const post = (each: Message) => void writer.write(`event: message\ndata: ${JSON.stringify(each)}\n\n`);
    void (async () => {
      await answer(message, post);
      await writer.close();
    })();
    const type = { "Content-Type": "text/event-stream; charset=utf-8" };
    return new Response(readable.pipeThrough(new TextEncoderStream()), { headers: type });
  };
  return { sent, send };
}

const OPTIONS = { capabilities: { sampling: {} }, info: { name: "t", version: "1" }, answers: {} };

test("a session is begun, used and ended with its id and version", async () => {
  const { sent, send } = endpoint((message, post) =>
    post({ jsonrpc: "2.0", id: message.id ?? 0, result: { content: [] } }),
  );
  const client = new McpClient({ ...OPTIONS, send });
  await client.connect();
  assert.deepEqual(await client.request("tools/call", { name: "x" }), { content: [] });
  await client.close();
  const methods = sent.map((each) => each.body?.method ?? each.method);
  assert.deepEqual(methods, ["initialize", "notifications/initialized", "GET", "tools/call", "DELETE"]);
  assert.equal(sent[0]?.headers["Mcp-Session-Id"], undefined);
  for (const each of sent.slice(1)) {
    assert.equal(each.headers["Mcp-Session-Id"], "s1");
    assert.equal(each.headers["MCP-Protocol-Version"], "2025-06-18");
  }
});

test("progress and requests of the server arrive during a call, and are answered", async () => {
  const { sent, send } = endpoint(async (message, post) => {
    const token = (message.params?._meta as { progressToken: number } | undefined)?.progressToken;
    post({
      jsonrpc: "2.0",
      method: "notifications/progress",
      params: { progressToken: token, progress: 1, total: 2 },
    });
    post({ jsonrpc: "2.0", id: 1, method: "elicitation/create", params: { message: "?" } });
    post({ jsonrpc: "2.0", id: 2, method: "unknown/thing" });
    const answered = () => sent.filter((each) => each.body && !each.body.method).length === 2;
    while (!answered()) await new Promise((resume) => setTimeout(resume, 1));
    post({ jsonrpc: "2.0", id: message.id ?? 0, result: { done: true } });
  });
  const heard: unknown[] = [];
  const frames: McpFrame[] = [];
  const client = new McpClient({
    ...OPTIONS,
    send,
    answers: { "elicitation/create": async () => ({ action: "decline" }) },
    onFrame: (frame) => frames.push(frame),
  });
  await client.connect();
  const result = await client.request("tools/call", {}, { onProgress: (each) => heard.push(each.progress) });
  assert.deepEqual(result, { done: true });
  assert.deepEqual(heard, [1]);
  const replies = sent.map((each) => each.body).filter((each) => each && !each.method);
  assert.deepEqual(replies.find((each) => each?.id === 1)?.result, { action: "decline" });
  assert.equal(replies.find((each) => each?.id === 2)?.error?.code, -32601);
  assert.equal(frames.filter((each) => !each.isSent).length, 5);
});

test("a cancelled call ends at once and the server is told", async () => {
  const { sent, send } = endpoint(() => new Promise(() => undefined));
  const client = new McpClient({ ...OPTIONS, send });
  await client.connect();
  const stopping = new AbortController();
  const call = client.request("tools/call", {}, { signal: stopping.signal });
  stopping.abort();
  await assert.rejects(call, { name: "AbortError" });
  const told = sent.find((each) => each.body?.method === "notifications/cancelled")?.body;
  assert.deepEqual(told?.params?.requestId, 2);
});

test("an error is the server's, and a stream without the answer is one", async () => {
  const { send } = endpoint((message, post) => {
    if (message.method === "tools/call")
      post({ jsonrpc: "2.0", id: message.id ?? 0, error: { code: -32602, message: "no such tool" } });
  });
  const client = new McpClient({ ...OPTIONS, send });
  await client.connect();
  await assert.rejects(client.request("tools/call"), { message: "no such tool", code: -32602 });
  await assert.rejects(client.request("other"), { message: "The connection ended before the answer" });
});

test("a list is read page by page", async () => {
  const { send } = endpoint((message, post) => {
    const isFirst = message.params?.cursor === undefined;
    const result = isFirst ? { items: [1, 2], nextCursor: "c" } : { items: [3] };
    post({ jsonrpc: "2.0", id: message.id ?? 0, result });
  });
  const client = new McpClient({ ...OPTIONS, send });
  await client.connect();
  assert.deepEqual(await client.list("things/list", "items"), [1, 2, 3]);
});

test("values are completed by servers that can, and by no others", async () => {
  for (const capabilities of [{ completions: {} }, {}]) {
    const { sent, send } = endpoint((message, post) =>
      post({ jsonrpc: "2.0", id: message.id ?? 0, result: { completion: { values: ["paris", 5] } } }),
    );
    const client = new McpClient({ ...OPTIONS, send });
    client.server = { capabilities };
    const ref = { type: "ref/prompt", name: "p" };
    const found = await client.complete(ref, { name: "city", value: "pa" }, { day: "x" });
    const asked = { ref, argument: { name: "city", value: "pa" }, context: { arguments: { day: "x" } } };
    assert.deepEqual(found, "completions" in capabilities ? ["paris"] : []);
    assert.deepEqual(sent[0]?.body?.params, "completions" in capabilities ? asked : undefined);
  }
});
