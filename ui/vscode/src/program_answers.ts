/** The answers of `mcpgateway --json`: the files of clients, an import, and the texts for agents. */

import { counted, plain } from "@mcpgateway/core/words";
import type { Ran } from "./program";

/** A file of a client with servers of its own. */
export interface ServersFile {
  path: string;
  title: string;
  count: number;
}

/** Return the files that `clients detect` found with servers that a gateway could serve. */
export function serversFilesIn(out: string): ServersFile[] {
  type Found = { path: string; servers: { program: number; remote: number } | null };
  return itemsIn<{ title: string; files: Found[] }>(out).flatMap(({ title, files }) =>
    files
      .map(({ path, servers }) => ({
        path,
        title,
        count: (servers?.program ?? 0) + (servers?.remote ?? 0),
      }))
      .filter(({ count }) => count),
  );
}

/** A rehearsed import. */
export interface Import {
  /** The additions to the configuration, without secrets; empty where nothing is new. */
  added: string;
  /** A sentence for each server, and for each setting that stays behind. */
  notes: string[];
}

/** Return what `config import --dry-run` says. */
export function importOf({ out, err }: Ran): Import {
  const { said = [] } = parsed<{ said?: string[] }>(out) ?? {};
  return { added: said.join("\n"), notes: err.split("\n").filter(Boolean).map(plain) };
}

/** Return the text that shows an import before it is made. */
export function importText({ added, notes }: Import): string {
  return [...notes.map((each) => `# ${each}`), "", added, ""].join("\n");
}

/** Return the report on an import of secrets: the names that each server got, and where they are. */
export function secretsText(out: string): string {
  type Result = { name: string; status: string; detail: string };
  const { results = [] } = parsed<{ results?: Result[] }>(out) ?? {};
  const lines = results.map(({ name, status, detail }) => plain(`${name}: ${detail || status}`));
  return `The secrets of ${counted(results.length, "server")}\n\n${lines.join("\n")}\n`;
}

/** A file with a text for agents. */
export interface AgentFile {
  path: string;
  clients: string[];
  state: string;
  error: string;
}

/** Return the files of `instructions install`, `uninstall` or `list`. */
export function agentFilesIn(out: string): AgentFile[] {
  return parsed<{ files?: AgentFile[] }>(out)?.files ?? itemsIn<AgentFile>(out);
}

/** Return the report on files with texts for agents. */
export function agentFilesText(files: readonly AgentFile[]): string {
  const lines = files.map(
    ({ path, clients, state, error }) =>
      `${path}${clients.length ? ` (${clients.join(", ")})` : ""}: ${error || state}`,
  );
  return `${counted(files.length, "file")} for agents\n\n${lines.map(plain).join("\n")}\n`;
}

/** Return the text of `instructions show`. */
export function instructionsIn(out: string): string {
  return parsed<{ text?: string }>(out)?.text ?? "";
}

function itemsIn<T>(out: string): T[] {
  return parsed<{ items?: T[] }>(out)?.items ?? [];
}

function parsed<T>(out: string): T | undefined {
  try {
    return JSON.parse(out) as T;
  } catch {
    return undefined;
  }
}
