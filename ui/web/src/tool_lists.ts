/** The tool of an id: as the gateway knows it, or as its server lists it to a client that can be asked back. */

import { ApiError } from "@mcpgateway/core/api";
import { isObject } from "@mcpgateway/core/form";
import type { ToolDescription } from "@mcpgateway/core/model";
import { signal } from "@preact/signals";
import { api, overview } from "./gateway";
import { Playground } from "./playground";

const JOIN = "__";
const MISSING = 404;

/** Whether the gateway has said that there is no such tool. */
export function isMissing(why: unknown): boolean {
  return why instanceof ApiError && why.status === MISSING;
}

/**
 * Return the complete description of a tool that is known; no server is asked, and none is started.
 *
 * @throws ApiError no list that the gateway or this page has names it.
 */
export async function known(id: string): Promise<ToolDescription> {
  try {
    return await api.get<ToolDescription>(`/api/v1/tools/${encodeURIComponent(id)}?asked=false`);
  } catch (why) {
    const found = isMissing(why) ? heardOf(id) : undefined;
    if (!found) throw why;
    return found;
  }
}

/**
 * Return the complete description of a tool; its server is asked, be it started for that.
 *
 * @throws ApiError there is none, or the server cannot be asked.
 */
export async function described(id: string): Promise<ToolDescription> {
  try {
    return await api.get<ToolDescription>(`/api/v1/tools/${encodeURIComponent(id)}`);
  } catch (why) {
    const found = isMissing(why) ? await listed(id) : undefined;
    if (!found) throw why;
    return found;
  }
}

/** The lists that sessions of this page got, by server: servers have more tools for clients that answer questions. */
const heard = signal<Readonly<Record<string, readonly Listed[]>>>({});

interface Listed {
  name: string;
  description?: string;
  inputSchema?: unknown;
  annotations?: unknown;
}

/** Ask a server for its list as a client that answers elicitation and sampling. */
export async function askAsClient(server: string): Promise<readonly Listed[]> {
  const session = new Playground(server);
  try {
    const tools = await session.use((client) => client.list<Listed>("tools/list", "tools"));
    heard.value = { ...heard.value, [server]: tools };
    return tools;
  } finally {
    session.end();
  }
}

/** Return the tools that a server has shown to this page's session and not to the gateway. */
export function toolsForClients(server: string, known: Iterable<string>): ToolDescription[] {
  const names = new Set(known);
  return (heard.value[server] ?? [])
    .filter((each) => !names.has(each.name))
    .map((each) => toolOf(server, each));
}

/** Return the servers that this page has asked. */
export function serversAsked(): string[] {
  return Object.keys(heard.value);
}

/** The id of a tool at the endpoint of all servers. */
export function toolId(server: string, tool: string): string {
  return server + JOIN + tool;
}

function toolOf(server: string, each: Listed): ToolDescription {
  const tier = tierOf(each.annotations);
  return { ...each, id: server + JOIN + each.name, server, tier } as ToolDescription;
}

async function listed(id: string): Promise<ToolDescription | undefined> {
  const server = serverOf(id);
  if (server) await askAsClient(server);
  return heardOf(id);
}

function heardOf(id: string): ToolDescription | undefined {
  const server = serverOf(id);
  return server ? toolsForClients(server, []).find((each) => each.id === id) : undefined;
}

function serverOf(id: string): string | undefined {
  const names = (overview.value?.backends ?? []).map((each) => each.name);
  return names.find((each) => id.startsWith(each + JOIN));
}

/** Return the effect of a tool by its annotations, with the defaults of the protocol. */
function tierOf(annotations: unknown): string {
  const hints = isObject(annotations) ? annotations : {};
  if (hints.readOnlyHint === true) return "read";
  return hints.destructiveHint === false ? "write" : "destructive";
}
