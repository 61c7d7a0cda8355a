// The TypeScript SDK 2.x as a client: jobs on its command line, one JSON line for each call's result.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { callAll } from "./call_all.mjs";

// It asks for the stateless era first, and has to fall back.
await callAll(async (url) => {
  const client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode: "auto" } });
  const transport = new StreamableHTTPClientTransport(new URL(url));
  await client.connect(transport);
  return { client, end: async () => {} };
});
