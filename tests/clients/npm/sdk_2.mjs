// The TypeScript SDK 2.x as a client; the job's mode is its own: auto, legacy, or the version that it is pinned to.
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
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
  const mode = ["auto", "legacy"].includes(job.mode) ? job.mode : { pin: job.mode };
  const options = { versionNegotiation: { mode }, capabilities: capabilities(job) };
  const client = new Client({ name: "test", version: "1" }, options);
  if (job.answer !== undefined) {
    client.setRequestHandler("elicitation/create", (request) => person.elicited(request));
    client.setRequestHandler("sampling/createMessage", (request) => person.sampled(request));
  }
  await client.connect(transport(job));
  return { client, version: client.getNegotiatedProtocolVersion() };
});
