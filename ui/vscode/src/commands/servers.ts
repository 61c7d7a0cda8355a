/** The commands about servers. */

import { ApiError } from "@mcpgateway/core/api";
import type { Server, Tool, Why } from "@mcpgateway/core/model";
import { outcome, serverPath } from "@mcpgateway/core/operations";
import { NotUnderstood, pasted } from "@mcpgateway/core/paste";
import { counted, plain } from "@mcpgateway/core/words";
import * as vscode from "vscode";
import { confirmed, isUp, serverFor, serversFor, toolFor } from "../picks";
import { kindOf } from "../rows";
import type { Command, Workbench } from "../workbench";

const WAIT = "?wait=30s";
const LIMIT_MS = 45_000;
/** Servers that are started at a time. */
const AT_ONCE = 4;

/** Do something to each server; tell the failures, and that of all only if there are several. */
async function each(
  bench: Workbench,
  names: readonly string[],
  verb: [now: string, done: string],
  send: (name: string) => Promise<string>,
): Promise<void> {
  if (!names.length) return;
  const [now, done] = verb;
  const what = `${now} ${names.length === 1 ? names[0] : counted(names.length, "server")}`;
  const faults: string[] = [];
  const queue = [...names];
  const work = async () => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      try {
        const fault = await send(name);
        if (fault) faults.push(fault);
      } catch (why) {
        if (why instanceof ApiError && (why.status === 0 || why.status === 401)) throw why;
        faults.push(`${name}: ${why instanceof Error ? why.message : String(why)}`);
      }
    }
    return true;
  };
  const isDone = await bench.act(what, async () => {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return true;
  });
  if (!isDone) return;
  if (!faults.length)
    bench.done(`${names.length === 1 ? names[0] : counted(names.length, "server")} ${done}`);
  else if (names.length === 1) await offerHelp(bench, names[0] ?? "", faults[0] ?? "");
  else bench.failed(what, new Error(faults.join("; ")));
}

async function offerHelp(bench: Workbench, name: string, fault: string): Promise<void> {
  bench.log.error(fault);
  const chosen = await vscode.window.showErrorMessage(plain(fault), "Why?", "Show Log");
  if (chosen === "Why?") await bench.run("mcpgateway.why", [name]);
  if (chosen === "Show Log") await bench.run("mcpgateway.showLogs", [name]);
}

/** Start a server and return the sentence of its failure. */
async function restarted(bench: Workbench, path: string): Promise<string> {
  const { api } = bench.connection;
  const answer = await api.send<{ server?: Server }>("POST", path, undefined, {}, LIMIT_MS);
  const came = answer?.server && outcome(answer.server);
  return came?.isError ? came.text : "";
}

const start: Command = async (bench, row) => {
  const names = await serversFor(bench, row, "Start which server?", (one) => one.enabled && !isUp(one));
  await each(bench, names, ["Starting", "started"], (name) =>
    restarted(bench, `${serverPath(name, "restart")}${WAIT}&reset=true`),
  );
};

const restart: Command = async (bench, row) => {
  const names = await serversFor(bench, row, "Restart which server?", (one) => one.enabled);
  await each(bench, names, ["Restarting", "restarted"], (name) =>
    restarted(bench, serverPath(name, "restart") + WAIT),
  );
};

const stop: Command = async (bench, row) => {
  const names = await serversFor(bench, row, "Stop which server?", isUp);
  await each(bench, names, ["Stopping", "stopped: the next request starts it again"], async (name) => {
    await bench.connection.api.send("POST", serverPath(name, "stop"), undefined, {}, LIMIT_MS);
    return "";
  });
};

function switching(isOn: boolean): Command {
  const [now, done, question] = isOn
    ? ["Switching on", "on", "Switch which server on?"]
    : ["Switching off", "off", "Switch which server off?"];
  return async (bench, row) => {
    const names = await serversFor(bench, row, question, ({ enabled }) => enabled !== isOn);
    await each(bench, names, [now, done], async (name) => {
      await bench.connection.api.send("PATCH", serverPath(name), { enabled: isOn }, {}, LIMIT_MS);
      return "";
    });
  };
}

const resetCircuit: Command = async (bench, row) => {
  const names = await serversFor(
    bench,
    row,
    "Reset the circuit breaker of which server?",
    (one) => kindOf(one) === "bad",
  );
  await each(bench, names, ["Resetting", "is tried again"], async (name) => {
    await bench.connection.api.send("POST", serverPath(name, "reset-circuit"));
    return "";
  });
};

const signIn: Command = async (bench, row) => {
  const name = await serverFor(bench, row, "Sign in at which server?");
  if (!name) return;
  const found = await bench.act(`Signing in at ${name}`, () =>
    bench.connection.api.send<{ state: string; url?: string }>(
      "POST",
      serverPath(name, "login"),
      {},
      {},
      LIMIT_MS,
    ),
  );
  if (found?.url && /^https?:/.test(found.url))
    await vscode.env.openExternal(vscode.Uri.parse(found.url, true));
  else if (found) bench.done(`${name}: ${found.state}`);
};

const why: Command = async (bench, row) => {
  const name = await serverFor(bench, row, "Explain which server?");
  if (!name) return;
  const found = await bench.act(`Asking about ${name}`, () =>
    bench.connection.api.get<Why>(serverPath(name, "why")),
  );
  if (!found) return;
  const detail = found.advice.map((one) => `${one.says}\n→ ${one.do}`).join("\n\n");
  const actions = found.ok ? ["Show Details", "Show Log"] : ["Try Now", "Show Details", "Show Log"];
  const chosen = await vscode.window.showInformationMessage(
    plain(found.verdict),
    { modal: true, detail: plain(detail) },
    ...actions,
  );
  if (chosen === "Try Now") await start(bench, name);
  if (chosen === "Show Details") await bench.run("mcpgateway.showDetails", [name]);
  if (chosen === "Show Log") await bench.run("mcpgateway.showLogs", [name]);
};

/** The text that defines a server: of the input, or of the clipboard, which often has it. */
const add: Command = async (bench, given) => {
  const clipboard = typeof given === "string" ? "" : await clipboardText();
  const text =
    typeof given === "string"
      ? given
      : await vscode.window.showInputBox({
          title: "Add a Server",
          prompt: "A URL, a command, the line of claude mcp add, or JSON with mcpServers",
          value: looksLikeServer(clipboard) ? clipboard.trim() : "",
          ignoreFocusOut: true,
          validateInput: (value) => (value.trim() ? faultOf(value) : undefined),
        });
  if (!text?.trim()) return;
  const definitions = pasted(text);
  const [first] = definitions;
  if (first && definitions.length === 1) {
    const name = await vscode.window.showInputBox({
      title: "The Name of the Server",
      value: first.name,
      ignoreFocusOut: true,
      validateInput: (value) => faultOfName(bench, value),
    });
    if (!name) return;
    first.name = name;
  }
  for (const { name, config } of definitions) {
    const body = { name, config, keep_secrets: true };
    const answer = await bench.act(`Adding ${name}`, () =>
      bench.connection.api.send<{ server?: Server }>("POST", `/api/v1/servers${WAIT}`, body, {}, LIMIT_MS),
    );
    if (!answer) return;
    const came = answer.server && outcome(answer.server);
    if (came?.isError) await offerHelp(bench, name, came.text);
    else bench.done(`${name} is added`);
  }
};

async function clipboardText(): Promise<string> {
  // A browser would ask its user for leave.
  return vscode.env.uiKind === vscode.UIKind.Desktop ? await vscode.env.clipboard.readText() : "";
}

/** Return whether a text is likely to define a server; any words would do as a command. */
function looksLikeServer(text: string): boolean {
  const given = text.trim();
  return (
    given.length < 4000 &&
    /^(?:https?:\/\/\S+$|(?:npx|uvx|docker|claude mcp add|codex mcp add)\s|\{)/.test(given) &&
    !faultOf(given)
  );
}

function faultOf(text: string): string | undefined {
  try {
    pasted(text);
    return undefined;
  } catch (fault) {
    return fault instanceof NotUnderstood ? fault.message : "That is no definition of a server";
  }
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

function faultOfName(bench: Workbench, name: string): string | undefined {
  if (!NAME.test(name) || name.includes("__"))
    return "A name has letters, digits, - and single _, at most 64";
  return bench.known.servers.some((one) => one.name === name) ? `${name} is there already` : undefined;
}

const isOwn = (server: Server): boolean => server.is_own;

const remove: Command = async (bench, row) => {
  const name = await serverFor(bench, row, "Remove which server?", isOwn);
  if (!name) return;
  const detail =
    "It is taken out of the gateway's configuration, and its sessions end. The gateway's home keeps its entry.";
  if (!(await confirmed(`Remove ${plain(name)}?`, detail, "Remove"))) return;
  await each(bench, [name], ["Removing", "removed"], async () => {
    await bench.connection.api.send("DELETE", serverPath(name), undefined, {}, LIMIT_MS);
    return "";
  });
};

const rename: Command = async (bench, row) => {
  const name = await serverFor(bench, row, "Rename which server?", isOwn);
  if (!name) return;
  const newName = await vscode.window.showInputBox({
    title: `Rename ${plain(name)}`,
    value: name,
    validateInput: (value) => (value === name ? undefined : faultOfName(bench, value)),
  });
  if (!newName || newName === name) return;
  await each(bench, [name], ["Renaming", `renamed to ${newName}`], async () => {
    await bench.connection.api.send("PATCH", serverPath(name), { new_name: newName }, {}, LIMIT_MS);
    return "";
  });
};

/** Open the file that defines a server, at its entry. */
const edit: Command = async (bench, row) => {
  const name = await serverFor(bench, row, "Edit which server?");
  if (!name) return;
  const found = await bench.act(`Asking about ${name}`, () =>
    bench.connection.api.get<Server>(serverPath(name)),
  );
  if (!found) return;
  const [path = ""] = found.source.split(", ");
  if (!path.startsWith("/") && !/^[A-Za-z]:/.test(path)) {
    bench.failed(`${name} cannot be edited here`, new Error(`it is defined by ${found.source}`));
    return;
  }
  const line = Math.max(0, (found.source_line ?? 1) - 1);
  const selection = new vscode.Range(line, 0, line, 0);
  await vscode.window.showTextDocument(vscode.Uri.file(path), { selection });
};

const copyEndpoint: Command = async (bench, row) => {
  const name = await serverFor(bench, row, "Copy the endpoint of which server?");
  const server = bench.known.servers.find((one) => one.name === name);
  if (!server) return;
  await vscode.env.clipboard.writeText((await addressOf(bench)) + server.endpoint);
  bench.done(`The endpoint of ${server.name} is on the clipboard`);
};

const copySnippet: Command = async (bench, row) => {
  const name = await serverFor(bench, row, "Copy the entry of which server?");
  const server = bench.known.servers.find((one) => one.name === name);
  if (!server) return;
  const entry = { [server.name]: { type: "http", url: (await addressOf(bench)) + server.endpoint } };
  await vscode.env.clipboard.writeText(JSON.stringify({ mcpServers: entry }, null, 2));
  bench.done(`An entry for clients' files is on the clipboard`);
};

const copyToolName: Command = async (bench, row) => {
  const found = await toolFor(bench, row, "Copy the name of which tool?");
  if (!found) return;
  await vscode.env.clipboard.writeText(`${found.server}__${found.tool}`);
  bench.done(`${found.server}__${found.tool} is on the clipboard`);
};

/** Return the address at which clients reach the gateway. */
export async function addressOf(bench: Workbench): Promise<string> {
  if (!bench.place.socket) return bench.place.base;
  const { listeners = [] } = bench.known.overview ?? {};
  const port = listeners
    .map((one) => /^(?:127\.0\.0\.1|\[::1\]|0\.0\.0\.0|\[::\]|localhost):(\d+)$/.exec(one)?.[1])
    .find(Boolean);
  return `http://localhost:${port ?? 9100}`;
}

/** Ask a server for its tools, which starts it where that is needed. */
const askTools: Command = async (bench, row) => {
  const name = await serverFor(bench, row, "Ask which server for its tools?");
  if (!name) return;
  const found = await bench.act(`Asking ${name} for its tools`, () =>
    bench.connection.api.send<Tool[]>(
      "GET",
      `/api/v1/tools?server=${encodeURIComponent(name)}`,
      undefined,
      {},
      LIMIT_MS,
    ),
  );
  if (found) bench.trees.servers.refresh();
};

export const SERVER_COMMANDS: Record<string, Command> = {
  "mcpgateway.startServer": start,
  "mcpgateway.restartServer": restart,
  "mcpgateway.stopServer": stop,
  "mcpgateway.switchOn": switching(true),
  "mcpgateway.switchOff": switching(false),
  "mcpgateway.resetCircuit": resetCircuit,
  "mcpgateway.signIn": signIn,
  "mcpgateway.why": why,
  "mcpgateway.addServer": add,
  "mcpgateway.removeServer": remove,
  "mcpgateway.renameServer": rename,
  "mcpgateway.editServer": edit,
  "mcpgateway.copyEndpoint": copyEndpoint,
  "mcpgateway.copySnippet": copySnippet,
  "mcpgateway.copyToolName": copyToolName,
  "mcpgateway.askTools": askTools,
};
