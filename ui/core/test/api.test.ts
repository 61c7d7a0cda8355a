import assert from "node:assert/strict";
import { test } from "node:test";
import { Api, ApiError } from "../src/api";

/** An API whose requests are answered by a function. */
function answering(reply: (request: Request) => Response | Promise<Response>, token = "") {
  const requests: Request[] = [];
  const api = new Api({
    base: "http://gateway.test",
    token: () => token,
    fetch: (async (url: string, init: RequestInit) => {
      const request = new Request(url, init);
      requests.push(request);
      return await reply(request);
    }) as typeof fetch,
  });
  return { api, requests };
}

test("a request bears the token in a header, and no cookie", async () => {
  const { api, requests } = answering(() => Response.json({ a: 1 }), "t0");
  assert.deepEqual(await api.get("/x"), { a: 1 });
  assert.equal(requests[0]?.headers.get("authorization"), "Bearer t0");
  assert.equal(requests[0]?.credentials, "omit");
});

test("a refusal is an error with the gateway's sentence and its hint", async () => {
  const { api } = answering(() => Response.json({ error: "no", hint: "do this" }, { status: 403 }));
  await assert.rejects(
    api.get("/x"),
    (why) => why instanceof ApiError && why.status === 403 && why.hint === "do this",
  );
  const { api: plain } = answering(() => new Response("<html>", { status: 502 }));
  await assert.rejects(plain.send("POST", "/x", {}), { message: "The gateway answers 502", status: 502 });
});

test("a refusal is one sentence with its remedy", () => {
  assert.equal(new ApiError(403, "no", "do this").sentence, "no: do this");
  assert.equal(new ApiError(0, "away").sentence, "away");
});

test("a stream is asked for after the latest event, if there was one", async () => {
  const { api, requests } = answering(() => new Response(""));
  const open = api.stream("/events");
  await open("", new AbortController().signal);
  await open("7", new AbortController().signal);
  assert.deepEqual(
    requests.map(({ headers }) => [headers.get("accept"), headers.get("last-event-id")]),
    [
      ["text/event-stream", null],
      ["text/event-stream", "7"],
    ],
  );
});

test("a gateway that does not answer is an error without a status", async () => {
  const { api } = answering(() => Promise.reject(new TypeError("connection refused")));
  await assert.rejects(api.get("/x"), { status: 0 });
  const { api: broken } = answering(() => new Response("{half"));
  await assert.rejects(broken.get("/x"), { status: 0 });
});

test("an answer with a tag is read once", async () => {
  const { api } = answering((request) =>
    request.headers.get("if-none-match") === '"1"'
      ? new Response(null, { status: 304 })
      : Response.json([1], { headers: { etag: '"1"' } }),
  );
  assert.deepEqual(await api.getTagged("/x", ""), { tag: '"1"', value: [1] });
  assert.deepEqual(await api.getTagged("/x", '"1"'), { tag: '"1"', value: undefined });
});

test("an answer without a body is nothing", async () => {
  const { api } = answering(() => new Response(null, { status: 204 }));
  assert.equal(await api.send("DELETE", "/x"), undefined);
});

test("a change that takes too long is told as an answer that does not come", async () => {
  const never = ((_: string, { signal }: RequestInit) =>
    new Promise((_, refuse) => {
      signal?.addEventListener("abort", () => refuse(signal.reason));
    })) as typeof fetch;
  const alive = setTimeout(() => undefined, 60_000); // a timer of an AbortSignal does not keep Node running
  const api = new Api({ token: () => "", fetch: never });
  await assert.rejects(
    api.send("POST", "/x", {}, {}, 1),
    (why) => why instanceof ApiError && why.status === 0,
  );
  clearTimeout(alive);
});
