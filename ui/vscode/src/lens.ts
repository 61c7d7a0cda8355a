/** The line above the servers of a client's file in a project: who serves them, and the way to the other. */

import { isObject } from "@mcpgateway/core/form";
import { counted } from "@mcpgateway/core/words";
import { isGateway, serversIn } from "./chat";
import type { ClientFile } from "./picks";

/** A line above a line of a file, and the command of a click on it. */
export interface Lens {
  /** From 0. */
  line: number;
  title: string;
  command: string;
  client: ClientFile;
}

const FILES: { end: RegExp; tool: string; label: string; key: string }[] = [
  { end: /[\\/]\.vscode[\\/]mcp\.json$/, tool: "vscode", label: "VS Code", key: "servers" },
  { end: /[\\/]\.mcp\.json$/, tool: "claude-code", label: "Claude Code", key: "mcpServers" },
];

/** The files of FILES, in a folder. */
export const PROJECT_FILES = [".mcp.json", ".vscode/mcp.json"];

/** A client's file with the number of servers of its own that the gateway could serve. */
export interface OwnServers extends ClientFile {
  count: number;
}

/** Return the client of a project's file, and its servers; undefined for another file. */
export function othersIn(path: string, text: string, port: number | undefined): OwnServers | undefined {
  const file = FILES.find(({ end }) => end.test(path));
  if (!file) return undefined;
  // An entry with a URL stays as it is.
  const others = serversIn(text, file.key).filter((each) => hasCommand(each) && !isGateway(each, port));
  return { tool: file.tool, label: file.label, path, count: others.length };
}

const hasCommand = (entry: unknown): boolean => isObject(entry) && typeof entry.command === "string";

/**
 * Return the line of a file; undefined where it has no servers.
 *
 * @param enrolled the paths of the files that the gateway has enrolled.
 * @param port the port of the gateway; undefined where that is not known.
 */
export function lensOf(
  path: string,
  text: string,
  enrolled: readonly string[],
  port: number | undefined,
): Lens | undefined {
  const file = FILES.find(({ end }) => end.test(path));
  if (!file) return undefined;
  const { key } = file;
  const found = serversIn(text, key);
  const others = othersIn(path, text, port);
  if (!found.length || !others) return undefined;
  const line = text.slice(0, Math.max(0, text.search(new RegExp(`"${key}"\\s*:`)))).split("\n").length - 1;
  const { count, ...client } = others;
  const uses = { line, title: "✓ Uses the gateway", client };
  if (enrolled.includes(path)) return { ...uses, command: "mcpgateway.restoreClient" };
  if (!count)
    return found.some((each) => isGateway(each, port)) ? { ...uses, command: "mcpgateway.menu" } : undefined;
  const title = `Let the gateway serve ${count === 1 ? "this server" : `these ${counted(count, "server")}`}`;
  return { line, title, command: "mcpgateway.enrolClient", client };
}

/** A fault of a configuration file. */
export interface Problem {
  level: "error" | "warning";
  file: string;
  /** From 1; null where the whole file is meant. */
  line: number | null;
  says: string;
}

/** Return the faults of each file, without those of no file; a fault says its place first, which the editor shows. */
export function byFile(problems: readonly Problem[]): Map<string, Problem[]> {
  const found = new Map<string, Problem[]>();
  for (const each of problems) {
    if (!each.file) continue;
    const place = each.line ? `${each.file}:${each.line}: ` : `${each.file}: `;
    const says = each.says.startsWith(place) ? each.says.slice(place.length) : each.says;
    found.set(each.file, [...(found.get(each.file) ?? []), { ...each, says }]);
  }
  return found;
}
