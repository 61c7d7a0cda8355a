/** The extension's beginning: it registers what VS Code has to know at once, and loads the rest afterwards. */

import * as vscode from "vscode";
import { ChatProvider } from "./provider";
import { Tree } from "./tree";
import type { Workbench } from "./workbench";

/** The trees of the views, by the names of the views. */
export type Trees = Record<"gateway" | "servers" | "groups" | "clients" | "calls", Tree>;

let opened: Promise<Workbench> | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const trees: Trees = {
    gateway: new Tree("gateway"),
    servers: new Tree("servers"),
    groups: new Tree("groups"),
    clients: new Tree("clients"),
    calls: new Tree("calls"),
  };
  context.subscriptions.push(...Object.values(trees));
  const provider = new ChatProvider();
  context.subscriptions.push(vscode.lm.registerMcpServerDefinitionProvider("mcpgateway", provider));
  const workbench = () => {
    opened ??= import("./main").then(({ open }) => open(context, trees, provider));
    return opened;
  };
  const { commands } = context.extension.packageJSON.contributes as { commands: { command: string }[] };
  for (const { command } of commands) {
    const run = async (...args: unknown[]) => await (await workbench()).run(command, args);
    context.subscriptions.push(vscode.commands.registerCommand(command, run));
  }
  // The window is there first.
  setTimeout(() => void workbench(), 0);
}

/** The gateway serves other clients, too, and goes on. */
export async function deactivate(): Promise<void> {
  (await opened)?.dispose();
}
