/** The choice of what a command is for: the row that it was called on, or one that the user picks. */

import type { DetectedClient, Server, Session, ToolRow } from "@mcpgateway/core/model";
import { look } from "@mcpgateway/core/states";
import { plain } from "@mcpgateway/core/words";
import * as vscode from "vscode";
import { isOwn } from "./place";
import { projectFiles } from "./project_files";
import { kindOf, type Row } from "./rows";
import type { Workbench } from "./workbench";

/** Return the row of a command's arguments; undefined where it comes from the palette. */
export function rowOf(argument: unknown): Row | undefined {
  return typeof argument === "object" && argument !== null && "id" in argument
    ? (argument as Row)
    : undefined;
}

interface Choice<T> extends vscode.QuickPickItem {
  value: T;
}

/** Let the user pick one of some things; undefined if nothing is picked. */
export async function picked<T>(title: string, choices: Choice<T>[], none: string): Promise<T | undefined> {
  if (!choices.length) {
    void vscode.window.showInformationMessage(none);
    return undefined;
  }
  const options = { title, matchOnDescription: true, matchOnDetail: true };
  return (await vscode.window.showQuickPick(choices, options))?.value;
}

/** Return the names of the servers that a command is for: those of its row, of its argument, or the picked one. */
export async function serversFor(
  bench: Workbench,
  argument: unknown,
  title: string,
  fits: (server: Server) => boolean = () => true,
): Promise<string[]> {
  if (typeof argument === "string") return [argument];
  const { servers } = bench.known;
  const given = rowOf(argument)?.servers;
  if (given) {
    const fitting = servers
      .filter((each) => given.includes(each.name) && fits(each))
      .map((each) => each.name);
    return given.length > 1 ? fitting : given;
  }
  const choices = servers.filter(fits).map((each) => ({
    label: plain(each.name),
    description: look(each.enabled ? each.state : "disabled").word,
    ...(each.need && { detail: plain(each.need.says) }),
    value: each.name,
  }));
  const name = await picked(title, choices, "There is no server for that");
  return name === undefined ? [] : [name];
}

/** Return the one server that a command is for. */
export async function serverFor(
  bench: Workbench,
  argument: unknown,
  title: string,
  fits?: (server: Server) => boolean,
): Promise<string | undefined> {
  const given = rowOf(argument)?.servers;
  if (given && given.length > 1) {
    const of = (server: Server) => given.includes(server.name) && (fits?.(server) ?? true);
    return (await serversFor(bench, undefined, title, of))[0];
  }
  return (await serversFor(bench, argument, title, fits))[0];
}

/** Return the tool that a command is for, with its server. */
export async function toolFor(
  bench: Workbench,
  argument: unknown,
  title: string,
): Promise<{ server: string; tool: string } | undefined> {
  const row = rowOf(argument);
  const [given] = row?.servers ?? [];
  if (row?.tool && given) return { server: given, tool: row.tool };
  const query = given ? `&server=${encodeURIComponent(given)}` : "";
  const tools = await bench.act("Asking for the tools", () =>
    bench.connection.api.get<ToolRow[]>(`/api/v1/tools?asked=false&offered=false${query}`),
  );
  if (!tools) return undefined;
  const choices = tools.map((each) => ({
    label: plain(each.tool),
    description: plain(each.server),
    detail: plain(each.description).replaceAll("\n", " ").slice(0, 200),
    value: { server: each.server, tool: each.tool },
  }));
  if (choices.length) return await picked(title, choices, "");
  const text = "No tool is known yet: a server tells its tools when it has started";
  const ask = "Ask a Server…";
  if ((await vscode.window.showInformationMessage(text, ask)) === ask)
    await vscode.commands.executeCommand("mcpgateway.askTools");
  return undefined;
}

/** A client's file. */
export interface ClientFile {
  tool: string;
  path: string;
  label: string;
}

/** Return the files of clients on this machine, with those of the window's folders that have servers. */
export async function filesToEnrol(bench: Workbench): Promise<(ClientFile & { count: number })[]> {
  const { detected } = await bench.connection.api.get<{ detected: DetectedClient[] }>("/clients/detect");
  const found = detected.map(({ tool, title: label = tool, configPath: path, files = [] }) => ({
    tool,
    path,
    label,
    count: files.reduce((sum, { servers }) => sum + (servers?.program ?? 0), 0),
  }));
  return [...found, ...(isOwn(bench.place) ? await projectFiles(bench) : [])];
}

/** Return the client's file that a command is for: one that uses the gateway, or one that does not. */
export async function clientFor(
  bench: Workbench,
  argument: unknown,
  title: string,
  isEnrolled: boolean,
): Promise<ClientFile | undefined> {
  const given = rowOf(argument)?.client;
  if (given) return given;
  const { api } = bench.connection;
  const found = await bench.act("Looking for clients", async () => {
    type Enrolled = { clients: { name: string; title: string; path: string }[] };
    const { clients } = await api.get<Enrolled>("/clients");
    if (isEnrolled) return clients.map(({ name: tool, title: label, path }) => ({ tool, path, label }));
    const paths = new Set(clients.map((each) => each.path));
    return (await filesToEnrol(bench)).filter((each) => !paths.has(each.path));
  });
  if (!found) return undefined;
  const files: ClientFile[] = found;
  const choices = files.map((each) => ({
    label: plain(each.label),
    description: plain(each.path),
    value: each,
  }));
  return await picked(
    title,
    choices,
    isEnrolled ? "No client uses the gateway" : "Every client uses the gateway",
  );
}

/** Return the handle of the session that a command is for. */
export async function sessionFor(bench: Workbench, argument: unknown): Promise<string | undefined> {
  const given = rowOf(argument)?.session;
  if (given) return given;
  const found = await bench.act("Asking for the sessions", () =>
    bench.connection.api.get<{ sessions: Session[] }>("/api/v1/sessions?limit=1000"),
  );
  const choices = (found?.sessions ?? []).map(({ id, client, server, pid, workspace }) => ({
    label: plain(client.name || `process ${pid}`),
    description: plain(server),
    detail: plain(workspace),
    value: id,
  }));
  return await picked("End which session?", choices, "No client has a session now");
}

/** Ask the user before something that cannot be undone; return whether it is to be done. */
export async function confirmed(question: string, detail: string, yes: string): Promise<boolean> {
  return (await vscode.window.showWarningMessage(question, { modal: true, detail }, yes)) === yes;
}

/** Whether a server has a process, or is about to. */
export const isUp = (server: Server): boolean => kindOf(server) === "up";
