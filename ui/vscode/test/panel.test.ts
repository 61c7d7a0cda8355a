import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { type FromPanel, PanelFetch } from "@mcpgateway/core/panel";
import { pageText } from "../src/page_text";
import { Relay } from "../src/relay";
import { transportTo } from "../src/transport";

/** Have a page and its editor talk about a server that echoes; return the page's fetch, and the requests that came. */
async function together(token = "") {
  const came: string[] = [];
  const left: string[] = [];
  const server = createServer((request, reply) => {
    came.push(`${request.method} ${request.url} ${request.headers.authorization ?? ""}`);
    reply.on("close", () => left.push(request.url ?? ""));
    if (request.url === "/stream") return void reply.writeHead(200).write("data: 1\n\n");
    if (request.url === "/none") return void reply.writeHead(204).end();
    let body = "";
    request.on("data", (piece) => {
      body += piece;
    });
    request.on("end", () => reply.writeHead(200, { "X-Mark": "1" }).end(`${body}é`));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as { port: number };
  const place = { base: `http://127.0.0.1:${port}`, socket: "", home: "" };
  const { fetch } = transportTo(place);
  const relay: Relay = new Relay(
    () => ({ base: place.base, token, fetch }),
    (message) => page.take(structuredClone(message)),
  );
  const page: PanelFetch = new PanelFetch((message: FromPanel) => {
    if ("ended" in message) relay.end(message.ended);
    else if ("id" in message) void relay.send(structuredClone(message));
  });
  return { page, relay, came, left, end: () => server.closeAllConnections() ?? server.close() };
}

test("a page's requests are those of fetch, and the editor adds the token", async () => {
  const { page, came, end } = await together("secret");
  const reply = await page.fetch("/echo", { method: "POST", body: "text" });
  assert.equal(reply.headers.get("x-mark"), "1");
  assert.equal(await reply.text(), "texté");
  assert.equal((await page.fetch("/none")).status, 204);
  assert.deepEqual(came, ["POST /echo Bearer secret", "GET /none Bearer secret"]);
  end();
});

test("a stream is read piece by piece, and ends at the gateway with the page's interest", async () => {
  const { page, left, end } = await together();
  const reader = (await page.fetch("/stream")).body?.getReader();
  assert.equal(new TextDecoder().decode((await reader?.read())?.value), "data: 1\n\n");
  await reader?.cancel();
  while (!left.includes("/stream")) await new Promise((resume) => setTimeout(resume, 5));
  const ending = new AbortController();
  const asked = page.fetch("/stream", { signal: ending.signal }).then((each) => each.text());
  setTimeout(() => ending.abort(), 20);
  await assert.rejects(asked, { name: "AbortError" });
  end();
});

test("what is no request to the gateway is sent nowhere", async () => {
  const { page, came, end } = await together("secret");
  await assert.rejects(page.fetch("http://elsewhere.example/"), /no request to the gateway/);
  await assert.rejects(page.fetch("@elsewhere.example/"), /no request to the gateway/);
  await assert.rejects(page.fetch("/", { method: "CONNECT" }), /no request to the gateway/);
  assert.deepEqual(came, []);
  end();
  await assert.rejects(page.fetch("/"));
});

test("the document of a panel reaches no network, and its facts stay within their attributes", () => {
  const facts = { source: "https://files", script: "s", style: "t", origin: "o" };
  const text = pageText({ ...facts, address: '/ui/servers/"><script>' });
  assert.match(text, /connect-src 'none'/);
  assert.match(text, /data-path="\/ui\/servers\/&quot;>&lt;script>"/);
});
