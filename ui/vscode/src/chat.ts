/** What the chat of VS Code is told of the gateway: one definition for each folder of the window. */

import { isObject } from "@mcpgateway/core/form";
import type { Server, View } from "@mcpgateway/core/model";
import { counted, plain } from "@mcpgateway/core/words";
import type { Row } from "./rows";

/** A definition of an MCP server. */
export interface Offer {
  /** It names the server in the chat, and identifies it there. */
  label: string;
  url: string;
  headers: Record<string, string>;
  /** VS Code asks for the tools anew when it changes. */
  version: string;
}

export interface ChatFacts {
  /** The setting: `hybrid`, `full`, `search`, `profile:NAME`, `each` or `off`. */
  offered: string;
  base: string;
  folders: readonly { name: string; path: string }[];
  servers: readonly Server[];
  view: View | undefined;
  /** The process of the window, whose end ends its sessions. */
  pid: number;
}

export const LABEL = "MCP Gateway";
/** VS Code takes no more tools. */
export const MOST = 128;

/** A path that fits into a header. */
const PLAIN = /^[\x20-\x7e]*$/;

/** Return the path of the endpoint that a setting means; undefined for no endpoint of all servers. */
export function endpointOf(offered: string): string | undefined {
  const profile = /^profile:([A-Za-z0-9][A-Za-z0-9._-]*)$/.exec(offered)?.[1];
  if (profile) return `/mcp/p/${profile}`;
  return { hybrid: "/mcp", full: "/mcp/full", search: "/mcp/search" }[offered];
}

/** Return the definitions for the chat. */
export function offersOf(facts: ChatFacts): Offer[] {
  const { offered, base, folders, servers, view, pid } = facts;
  const places = folders.length ? folders : [{ name: "", path: "" }];
  const path = endpointOf(offered);
  const ways: [label: string, path: string, version: string][] = path
    ? [[LABEL, path, view?.topology ?? ""]]
    : offered === "each"
      ? servers
          .filter((each) => each.enabled)
          .map(({ name, endpoint }) => [`${LABEL}: ${name}`, endpoint, ""])
      : [];
  return places.flatMap(({ name, path: folder }) =>
    ways.map(([label, at, version]) => {
      const isPlain = PLAIN.test(folder);
      return {
        label: places.length > 1 ? `${label} (${name})` : label,
        url: base + at + (isPlain ? "" : `?project=${encodeURIComponent(folder)}`),
        headers: { "X-Client-Pid": String(pid), ...(isPlain && folder && { "Mcp-Project-Path": folder }) },
        version,
      };
    }),
  );
}

/** Return the row of this window in the view Clients. */
export function windowRow(offers: readonly Offer[], view: View | undefined, isThere: string): Row {
  const what = isThere
    ? `uses the gateway by ${isThere}`
    : !offers.length
      ? "does not use the gateway"
      : view
        ? toolsOf(view)
        : `${counted(offers.length, "definition")} for the chat`;
  const beyond = view && view.tools > MOST ? `; VS Code takes ${MOST} of them` : "";
  return {
    id: "window",
    label: "This window",
    description: plain(what + beyond),
    icon: offers.length || isThere ? "comment-discussion" : "circle-outline",
    tooltip: plain(
      [
        "The chat of this window",
        ...offers.map((each) => `${each.label}: ${each.url}`),
        view ? `${view.tokens} tokens of ${view.all_tokens}` : "",
      ]
        .filter(Boolean)
        .join("\n"),
    ),
    spoken: plain(`This window, ${what}${beyond}`),
    context: offers.length ? "window.offered" : "window",
  };
}

function toolsOf({ tools, all_tools }: View): string {
  // A search is a tool that stands for all others.
  if (tools > all_tools)
    return `${counted(tools, "tool")} of the gateway, ${all_tools} of servers behind them`;
  return `${tools} of ${counted(all_tools, "tool")}`;
}

const PROGRAM = /(?:^|[\\/])(?:mcpgateway|mcp-gateway|mcpg)(?:\.exe)?$/;

/** Return whether a file of VS Code's own MCP servers leads to the gateway already. */
export function leadsHere(text: string, port: number | undefined): boolean {
  return serversIn(text, "servers").some((each) => isGateway(each, port));
}

/** Return the entries of the servers of a client's file, below a key. */
export function serversIn(text: string, key: string): unknown[] {
  const servers = parsed(text)[key];
  return isObject(servers) ? Object.values(servers) : [];
}

/** Return whether an entry of a client's file leads to the gateway. */
export function isGateway(entry: unknown, port: number | undefined): boolean {
  if (!isObject(entry)) return false;
  const { command, url } = entry;
  if (typeof command === "string") return PROGRAM.test(command);
  if (typeof url !== "string" || !URL.canParse(url)) return false;
  const { hostname, port: at } = new URL(url);
  return (
    /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname) && port !== undefined && at === String(port)
  );
}

function parsed(text: string): Record<string, unknown> {
  // Strings stay; comments and commas before a bracket go.
  const plainJson = text
    .replace(/("(?:[^"\\]|\\.)*")|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, "$1")
    .replace(/("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])/g, "$1");
  try {
    const found: unknown = JSON.parse(plainJson);
    return isObject(found) ? found : {};
  } catch {
    return {};
  }
}
