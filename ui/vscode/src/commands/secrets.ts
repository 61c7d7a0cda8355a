/** The secrets of servers, which the gateway keeps: no file of the editor has them. */

import { serverPath } from "@mcpgateway/core/operations";
import { plain } from "@mcpgateway/core/words";
import * as vscode from "vscode";
import { picked, serverFor } from "../picks";
import type { Command, Workbench } from "../workbench";

const LIMIT_MS = 60_000;
const VARIABLE = /^[A-Za-z_]\w*$/;
const HEADER = /^[!#$%&'*+.^`|~\w-]+$/;

interface Secret {
  member: "add_env" | "add_headers";
  name: string;
}

/** The values of a server that count, by their keys. */
type Values = Record<string, { value: unknown }>;

/** Ask for a value, and let the gateway keep it where it keeps secrets. */
const setSecret: Command = async (bench, row) => {
  const server = await serverFor(bench, row, "Set a secret of which server?");
  const found = server && (await bench.act(`Asking about ${server}`, () => askedFor(bench, server)));
  const secret = found && (await chosen(found));
  if (!secret) return;
  const value = await vscode.window.showInputBox({
    title: `${plain(server)}: ${secret.name}`,
    prompt: "The gateway keeps it in its own file of values, which you alone can read",
    password: true,
    ignoreFocusOut: true,
    validateInput: (text) => (/[\r\n]/.test(text) ? "A secret is one line" : undefined),
  });
  if (!value) return;
  const body = { [secret.member]: { [secret.name]: value }, keep_secrets: true };
  const sent = await bench.act(`Setting ${secret.name}`, () =>
    bench.connection.api.send<object>("PATCH", serverPath(server), body, {}, LIMIT_MS),
  );
  if (sent) bench.done(`${secret.name} of ${plain(server)} is set`);
};

async function askedFor(bench: Workbench, server: string): Promise<Secret[]> {
  const path = `/api/v1/config?server=${encodeURIComponent(server)}`;
  const { servers } = await bench.connection.api.get<{ servers: Record<string, Values> }>(path);
  const names = (key: string) => Object.keys(servers[server]?.[key]?.value ?? {});
  return [
    ...names("env").map((name) => ({ member: "add_env" as const, name })),
    ...names("headers").map((name) => ({ member: "add_headers" as const, name })),
  ];
}

/** Let the user choose a variable or a header, or name another one. */
async function chosen(known: readonly Secret[]): Promise<Secret | undefined> {
  const choices: { label: string; description?: string; value: Secret }[] = known.map((value) => ({
    label: value.name,
    description: value.member === "add_env" ? "variable" : "header",
    value,
  }));
  choices.push({ label: "$(add) Another variable…", value: { member: "add_env", name: "" } });
  choices.push({ label: "$(add) Another header…", value: { member: "add_headers", name: "" } });
  const secret = await picked("Which secret?", choices, "");
  if (!secret || secret.name) return secret;
  const isVariable = secret.member === "add_env";
  const name = await vscode.window.showInputBox({
    title: isVariable ? "The Name of the Variable" : "The Name of the Header",
    placeHolder: isVariable ? "GITHUB_TOKEN" : "Authorization",
    ignoreFocusOut: true,
    validateInput: (text) => ((isVariable ? VARIABLE : HEADER).test(text) ? undefined : "That is no name"),
  });
  return name ? { ...secret, name } : undefined;
}

export const SECRET_COMMANDS: Record<string, Command> = { "mcpgateway.setSecret": setSecret };
