/** A call as a text that repeats it elsewhere: for a shell, for the command line, and as JSON-RPC. */

import { isObject, isSecret } from "./form";

/** A call of a tool. */
export interface ToolCall {
  server: string;
  tool: string;
  args: Record<string, unknown>;
}

/** Quote a word for a POSIX shell. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Return the command that makes the call through the REST API. */
export function asCurl({ server, tool, args }: ToolCall, origin: string): string {
  const body = JSON.stringify({ tool, arguments: args });
  return [
    `curl ${quoted(`${origin}/api/v1/servers/${encodeURIComponent(server)}/call`)}`,
    `-H "Authorization: Bearer $(mcpgateway token show)"`,
    `-H 'Content-Type: application/json'`,
    `-d ${quoted(body)}`,
  ].join(" ");
}

/** Return the command of the command line that makes the call. */
export function asCommand({ server, tool, args }: ToolCall): string {
  return `mcpgateway tools call ${quoted(`${server}__${tool}`)} --json-args ${quoted(JSON.stringify(args))}`;
}

/** Return the request of the call. */
export function asJsonRpc({ tool, args }: ToolCall): string {
  return JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: tool, arguments: args },
  });
}

/** A call that was made in this browser. */
export interface PastCall extends ToolCall {
  /** Milliseconds since the epoch. */
  at: number;
  ms: number;
  isError: boolean;
}

const KEPT = 50;
const LONGEST = 2000;

/** Return the arguments without those that a name or a schema calls secret, at any depth. */
export function withoutSecrets(args: Record<string, unknown>): Record<string, unknown> {
  const left: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(args)) {
    if (isSecret(name)) continue;
    left[name] = isObject(value) ? withoutSecrets(value) : value;
  }
  return left;
}

/** Return the history with one call more, the latest first. */
export function remembered(history: readonly PastCall[], call: PastCall): PastCall[] {
  const args = withoutSecrets(call.args);
  // A call with large arguments would fill the browser's storage.
  const kept = JSON.stringify(args).length > LONGEST ? { ...call, args: {} } : { ...call, args };
  return [kept, ...history].slice(0, KEPT);
}

/**
 * Return the entry of a client's file, as most clients take it, for a token.
 *
 * @param servers those that the token is for; one alone has an endpoint of its own, several are at that of all.
 */
export function asClientEntry(token: string, servers: readonly string[], origin: string): string {
  const [only, ...others] = servers;
  const name = only && !others.length ? only : "mcpgateway";
  const path = name === only ? `/${encodeURIComponent(only)}/mcp` : "/mcp";
  const entry = { type: "http", url: origin + path, headers: { Authorization: `Bearer ${token}` } };
  return JSON.stringify({ mcpServers: { [name]: entry } }, null, 2);
}
