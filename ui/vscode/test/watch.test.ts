import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Api } from "@mcpgateway/core/api";
import type { Place } from "../src/place";
import { transportTo } from "../src/transport";
import { type Known, Watch } from "../src/watch";

/** A server at a Unix socket. */
function listening(answer: RequestListener): Promise<{ server: Server; place: Place }> {
  const home = mkdtempSync(join(tmpdir(), "watch-"));
  const place = { home, socket: join(home, "gateway.sock"), base: "http://localhost" };
  const server = createServer(answer);
  return new Promise((resolve) => server.listen(place.socket, () => resolve({ server, place })));
}

/** Watch a place until something holds of it. */
async function watched(place: Place, holds: (known: Known) => boolean, heard: string[] = []): Promise<Known> {
  const transport = transportTo(place);
  const api = new Api({ base: place.base, token: () => "", fetch: transport.fetch, limit_ms: 200 });
  return await new Promise((resolve) => {
    const watch = new Watch({
      api,
      failure: transport.failure,
      pollMs: () => 20,
      happened: ({ event }) => heard.push(event),
      changed: (known) => {
        if (!holds(known)) return;
        watch.end();
        resolve(known);
      },
    });
    watch.start();
  });
}

const OVERVIEW = { verdict: "all is well", needs: [] };

test("a gateway is here with its overview, its servers and its events", async () => {
  const { server, place } = await listening((request, reply) => {
    if (request.url === "/api/v1/events") {
      reply.writeHead(200, { "Content-Type": "text/event-stream" });
      reply.write('data: {"event": "server.state"}\n\n');
    } else if (request.url === "/api/v1/overview")
      reply.setHeader("ETag", '"1"').end(JSON.stringify(OVERVIEW));
    else reply.end(JSON.stringify([{ name: "github" }]));
  });
  const heard: string[] = [];
  const known = await watched(
    place,
    ({ phase, isStreaming }) => phase === "here" && isStreaming && heard.length > 0,
    heard,
  );
  assert.equal(known.overview?.verdict, "all is well");
  assert.equal(known.servers[0]?.name, "github");
  assert.deepEqual(heard, ["server.state"]);
  server.closeAllConnections();
  server.close();
});

/** Answer polls, and count them; events are answered by a function. */
function counted(events: RequestListener): { answer: RequestListener; polls: () => number } {
  let polls = 0;
  return {
    polls: () => polls,
    answer: (request, reply) => {
      if (request.url === "/api/v1/events") return events(request, reply);
      if (request.url !== "/api/v1/overview") return void reply.end("[]");
      polls += 1;
      reply.end(JSON.stringify(OVERVIEW));
    },
  };
}

test("a window that is left for five minutes gives its stream to others, and takes one again when it is back", async (t) => {
  let open = 0;
  const { answer } = counted((request, reply) => {
    open += 1;
    request.socket.once("close", () => (open -= 1));
    reply.writeHead(200, { "Content-Type": "text/event-stream" }).write(": here\n\n");
  });
  const { server, place } = await listening(answer);
  const transport = transportTo(place);
  const api = new Api({ base: place.base, token: () => "", fetch: transport.fetch, limit_ms: 200 });
  let known: Known | undefined;
  const watch = new Watch({
    api,
    failure: transport.failure,
    pollMs: () => 20,
    changed: (now) => (known = now),
  });
  const until = async (holds: () => boolean) => {
    while (!holds()) await new Promise((resume) => setImmediate(resume));
  };
  watch.start();
  await until(() => open === 1 && known?.isStreaming === true);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  watch.focus(false);
  t.mock.timers.tick(299_000);
  assert.equal(known?.isStreaming, true);
  t.mock.timers.tick(1000);
  await until(() => open === 0);
  assert.equal(known?.isStreaming, false);
  t.mock.timers.reset();
  watch.focus(true);
  await until(() => open === 1 && known?.isStreaming === true);
  watch.end();
  await until(() => open === 0);
  server.closeAllConnections();
  server.close();
});

test("a gateway without a stream to spare is asked again and again", async () => {
  const { answer, polls } = counted((_request, reply) => void reply.writeHead(503).end());
  const { server, place } = await listening(answer);
  const known = await watched(place, ({ phase }) => phase === "here" && polls() > 3);
  assert.equal(known.isStreaming, false);
  server.closeAllConnections();
  server.close();
});

test("the uptime goes on while nothing else changes", async () => {
  const { server, place } = await listening((request, reply) => {
    if (request.headers["if-none-match"]) reply.writeHead(304).end();
    else if (request.url === "/api/v1/overview")
      reply.setHeader("ETag", '"1"').end(JSON.stringify({ ...OVERVIEW, uptime_seconds: 7 }));
    else if (request.url === "/api/v1/events") reply.writeHead(503).end();
    else reply.end("[]");
  });
  const known = await watched(place, ({ overview }) => (overview?.uptime_seconds ?? 0) > 7);
  assert.equal(known.overview?.verdict, "all is well");
  server.closeAllConnections();
  server.close();
});

test("without a listener the gateway is away, and what hangs is silent", async () => {
  const home = mkdtempSync(join(tmpdir(), "watch-"));
  await watched(
    { home, socket: join(home, "none.sock"), base: "http://localhost" },
    ({ phase }) => phase === "away",
  );
  const { server, place } = await listening(() => undefined);
  await watched(place, ({ phase }) => phase === "silent");
  server.closeAllConnections();
  server.close();
});

test("a gateway that wants a token refuses with its sentence, and another program is foreign", async () => {
  const { server, place } = await listening((_, reply) =>
    reply.writeHead(401).end('{"error": "a token is needed"}'),
  );
  assert.equal((await watched(place, ({ phase }) => phase === "refused")).refusal, "a token is needed");
  server.close();
  const { server: other, place: at } = await listening((_, reply) => reply.writeHead(404).end("<html>"));
  await watched(at, ({ phase }) => phase === "foreign");
  other.close();
});

test("a redirect is not followed, so that no token goes elsewhere", async () => {
  const { server, place } = await listening((_, reply) =>
    reply.writeHead(307, { Location: "http://evil.test/" }).end(),
  );
  await assert.rejects(transportTo(place).fetch("http://localhost/x"), /redirect/);
  server.close();
});
