/** The line above the servers of a client's file in a project: who serves them, and the way to the other. */

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

/** Return how many servers of its own a client's file of a project has; undefined for another file. */
export function othersIn(
  path: string,
  text: string,
  port: number | undefined,
): { label: string; count: number } | undefined {
  const file = FILES.find(({ end }) => end.test(path));
  if (!file) return undefined;
  const others = serversIn(text, file.key).filter((each) => !isGateway(each, port));
  return { label: file.label, count: others.length };
}

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
  const { tool, label, key } = file;
  const found = serversIn(text, key);
  const others = found.filter((each) => !isGateway(each, port));
  if (!found.length) return undefined;
  const line = text.slice(0, Math.max(0, text.search(new RegExp(`"${key}"\\s*:`)))).split("\n").length - 1;
  const client = { tool, path, label };
  if (enrolled.includes(path))
    return { line, title: "✓ Uses the gateway", command: "mcpgateway.restoreClient", client };
  if (!others.length) return { line, title: "✓ Uses the gateway", command: "mcpgateway.menu", client };
  const title = `Let the gateway serve ${others.length === 1 ? "this server" : `these ${counted(others.length, "server")}`}`;
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
