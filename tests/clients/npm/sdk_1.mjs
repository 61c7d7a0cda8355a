// The TypeScript SDK 1.x as a client.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CreateMessageRequestSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { capabilities, doAll } from "./driving.mjs";

function transport({ front, url, argv }) {
  switch (front) {
    case "http":
      return new StreamableHTTPClientTransport(new URL(url));
    case "sse":
      return new SSEClientTransport(new URL(url));
    case "stdio":
      return new StdioClientTransport({ command: argv[0], args: argv.slice(1), env: process.env });
  }
}

await doAll(async (job, person) => {
  const client = new Client({ name: "test", version: "1" }, { capabilities: capabilities(job) });
  if (job.answer !== undefined) {
    client.setRequestHandler(ElicitRequestSchema, (request) => person.elicited(request));
    client.setRequestHandler(CreateMessageRequestSchema, (request) => person.sampled(request));
  }
  const way = transport(job);
  let version;
  const told = way.setProtocolVersion?.bind(way);
  way.setProtocolVersion = (negotiated) => {
    version = negotiated;
    told?.(negotiated);
  };
  await client.connect(way);
  return { client, version, end: () => way.terminateSession?.() };
});
