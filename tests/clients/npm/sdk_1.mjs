// The TypeScript SDK 1.x as a client: jobs on its command line, one JSON line for each call's result.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { callAll } from "./call_all.mjs";

await callAll(async (url) => {
  const client = new Client({ name: "test", version: "1" });
  const transport = new StreamableHTTPClientTransport(new URL(url));
  await client.connect(transport);
  return { client, end: () => transport.terminateSession() };
});
