/** The wiring: commands and parts of a window together. */

import * as vscode from "vscode";
import { AGENT_COMMANDS } from "./commands/agents";
import { CATALOGUE_COMMANDS } from "./commands/catalogue";
import { CLIENT_COMMANDS } from "./commands/clients";
import { GATEWAY_COMMANDS } from "./commands/gateway";
import { IMPORT_COMMANDS } from "./commands/imports";
import { pageCommands } from "./commands/pages";
import { SECRET_COMMANDS } from "./commands/secrets";
import { SERVER_COMMANDS } from "./commands/servers";
import { SET_UP_COMMANDS } from "./commands/set_up";
import { TOOL_COMMANDS } from "./commands/tools";
import { Documents } from "./documents";
import { EditorHelp } from "./editor_help";
import type { Trees } from "./extension";
import { CallView, ClientView, toolsBelow } from "./live_rows";
import { Logs } from "./logs";
import { Panels } from "./panels";
import { serverFor } from "./picks";
import { ProjectFile } from "./project_part";
import type { ChatProvider } from "./provider";
import { Refusals } from "./refusals";
import { Terminals } from "./terminals";
import { Chat, startChat } from "./window_chat";
import { type Command, Workbench } from "./workbench";

/** Open what a window needs beyond the registrations; called once. */
export async function open(
  context: vscode.ExtensionContext,
  trees: Trees,
  provider: ChatProvider,
): Promise<Workbench> {
  const documents = new Documents();
  const commands: Record<string, Command> = {
    ...GATEWAY_COMMANDS,
    ...SERVER_COMMANDS,
    ...CATALOGUE_COMMANDS,
    ...CLIENT_COMMANDS,
    ...IMPORT_COMMANDS,
    ...AGENT_COMMANDS,
    ...TOOL_COMMANDS,
    ...SECRET_COMMANDS,
    ...SET_UP_COMMANDS,
    // These two are for other commands.
    "mcpgateway.showText": (_, name, text) => documents.show(String(name), String(text)),
    "mcpgateway.showDiff": (_, name, title, sides) =>
      documents.diff(String(name), String(title), sides as { before: string; after: string }),
  };
  const bench = new Workbench(context, trees, commands);
  const panels = new Panels(bench);
  Object.assign(commands, pageCommands(panels));
  const logs = new Logs(bench);
  commands["mcpgateway.showLogs"] = async (_, row) => {
    const name = await serverFor(bench, row, "Show the log of which server?");
    if (name) logs.show(name);
  };
  trees.servers.later = (row) => toolsBelow(bench, row);
  trees.groups.later = trees.servers.later;
  const chat = new Chat(bench, provider);
  commands["mcpgateway.startChat"] = startChat(chat);
  const clients = new ClientView(bench, () => chat.row);
  const project = new ProjectFile(bench);
  for (const part of [
    documents,
    panels,
    logs,
    project,
    chat,
    clients,
    new CallView(bench),
    new Terminals(bench),
    new EditorHelp(bench),
    new Refusals(bench),
  ])
    bench.add(part);
  await bench.connect();
  await project.read();
  provider.lead(chat);
  await vscode.commands.executeCommand("setContext", "mcpgateway.isReady", true);
  return bench;
}
