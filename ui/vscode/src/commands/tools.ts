/** The commands about tools. */

import { type Entry, entriesOf, type Field, fieldsOf, filled } from "@mcpgateway/core/form";
import type { ToolDescription } from "@mcpgateway/core/model";
import { serverPath } from "@mcpgateway/core/operations";
import { plain } from "@mcpgateway/core/words";
import * as vscode from "vscode";
import { confirmed, toolFor } from "../picks";
import type { Command } from "../workbench";

const LIMIT_MS = 120_000;
/** So many optional arguments are asked for without a choice before. */
const FEW = 3;

/** Ask for the arguments of a tool one by one; undefined if the user gives up. */
async function argumentsOf(
  title: string,
  fields: readonly Field[],
): Promise<Record<string, unknown> | undefined> {
  const entries = entriesOf(fields);
  const asked = fields.filter((each) => each.isRequired);
  const others = fields.filter((each) => !each.isRequired);
  if (others.length <= FEW) {
    asked.push(...others);
  } else {
    const choices = others.map((field) => ({
      label: plain(field.name),
      description: plain(field.description),
      field,
    }));
    const options = { title: `${title}: which optional arguments?`, canPickMany: true } as const;
    const chosen = await vscode.window.showQuickPick(choices, options);
    if (!chosen) return undefined;
    asked.push(...chosen.map((each) => each.field));
  }
  for (const field of asked) {
    const entry = await entryFor(`${title}: ${plain(field.name)}`, field, entries[field.name] ?? "");
    if (entry === undefined) return undefined;
    entries[field.name] = entry;
  }
  // A check mark that was not asked for says nothing.
  return filled(
    fields.filter((each) => each.kind !== "flag" || asked.includes(each)),
    entries,
  ).values;
}

/** Let the user choose or type the value of one argument. */
async function entryFor(title: string, field: Field, present: Entry): Promise<Entry | undefined> {
  const { name, description, kind, options, isSecret } = field;
  const placeHolder = plain(description);
  if (kind === "flag") {
    const chosen = await vscode.window.showQuickPick(["true", "false"], { title, placeHolder });
    return chosen === undefined ? undefined : chosen === "true";
  }
  const choices = options.map((each) => ({ label: plain(each.title), value: each.value }));
  if (kind === "choice") return (await vscode.window.showQuickPick(choices, { title, placeHolder }))?.value;
  if (kind === "choices") {
    const chosen = await vscode.window.showQuickPick(choices, { title, placeHolder, canPickMany: true });
    return chosen?.map((each) => each.value);
  }
  return await vscode.window.showInputBox({
    title,
    prompt: kind === "json" ? `${placeHolder} (JSON)` : placeHolder,
    value: String(present),
    password: isSecret,
    ignoreFocusOut: true,
    validateInput: (text) => filled([field], { [name]: text }).faults[name],
  });
}

const tryTool: Command = async (bench, row) => {
  const found = await toolFor(bench, row, "Try which tool?");
  if (!found) return;
  const { server, tool } = found;
  const { api } = bench.connection;
  const id = encodeURIComponent(`${server}__${tool}`);
  const about = await bench.act(`Asking about ${tool}`, () =>
    api.get<ToolDescription>(`/api/v1/tools/${id}`),
  );
  if (!about) return;
  const args = await argumentsOf(plain(tool), fieldsOf(about.inputSchema));
  if (!args) return;
  if (about.tier === "destructive") {
    const detail = `${plain(server)} says nothing that would keep this tool from destroying data.`;
    if (!(await confirmed(`Call ${plain(tool)}?`, detail, "Call"))) return;
  }
  const result = await bench.act(`Calling ${tool}`, () =>
    api.send<object>("POST", serverPath(server, "call"), { tool, arguments: args }, {}, LIMIT_MS),
  );
  if (result)
    await bench.run("mcpgateway.showText", [`${tool}.json`, `${JSON.stringify(result, null, 2)}\n`]);
};

function offering(isOffered: boolean): Command {
  return async (bench, row) => {
    const found = await toolFor(bench, row, isOffered ? "Offer which tool?" : "Offer which tool no more?");
    if (!found) return;
    const body = { tools: [`${found.server}__${found.tool}`], offered: isOffered };
    const done = await bench.act(`Changing ${found.tool}`, () =>
      bench.connection.api.send<object>("PATCH", "/api/v1/tools", body),
    );
    if (!done) return;
    bench.done(`${found.tool} is ${isOffered ? "offered" : "not offered"} to clients`);
    bench.trees.servers.refresh();
  };
}

export const TOOL_COMMANDS: Record<string, Command> = {
  "mcpgateway.tryTool": tryTool,
  "mcpgateway.offerTool": offering(true),
  "mcpgateway.hideTool": offering(false),
};
