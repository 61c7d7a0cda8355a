/** The set-up in five steps: the program, clients, the project, old processes, and what the chat has then. */

import { accessSync, constants } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import type { Profile } from "@mcpgateway/core/model";
import { quoted } from "@mcpgateway/core/snippets";
import { counted, memory, plain } from "@mcpgateway/core/words";
import * as vscode from "vscode";
import { type Duplicate, duplicatesIn, waysToInstall } from "../install";
import { confirmed, filesToEnrol, picked } from "../picks";
import { absence } from "../program";
import { writeProject } from "../project_part";
import type { Command, Workbench } from "../workbench";
import { unset } from "./by_program";

const INSTALL_LIMIT_MS = 600_000;
const START_LIMIT_MS = 90_000;
const HERE_LIMIT_MS = 20_000;

/** A step; it returns false if the user gives the set-up up. */
type Step = (bench: Workbench) => Promise<boolean>;

function has(program: string): boolean {
  return (process.env.PATH ?? "").split(delimiter).some((each) => {
    if (!isAbsolute(each)) return false;
    try {
      accessSync(join(each, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Run a command in a terminal that its user sees, and wait for its end. */
async function inSight(words: readonly string[]): Promise<boolean> {
  const terminal = vscode.window.createTerminal({ name: "MCP Gateway", env: unset() });
  terminal.show();
  const ended = new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => resolve(false), INSTALL_LIMIT_MS);
    const closing = vscode.window.onDidCloseTerminal((each) => {
      if (each !== terminal) return;
      clearTimeout(timer);
      closing.dispose();
      resolve(each.exitStatus?.code === 0);
    });
  });
  // The terminal ends with the command if that has worked, and shows why it has not.
  terminal.sendText(`${words.join(" ")} && exit`);
  return await ended;
}

const program: Step = async (bench) => {
  let found = await bench.starter.program();
  if (!found && process.platform === "win32") {
    bench.failed("", new Error(absence()));
    return false;
  }
  if (!found) {
    const ways = waysToInstall(has).map((way) => ({
      label: way.label,
      description: `${way.words.join(" ")} mcpgateway-VERSION-py3-none-any.whl`,
      value: way,
    }));
    const none = "Install uv, pipx or Python 3.11 first: the program mcpgateway is a package of Python";
    const way = await picked(
      "1/5 Install the program, from the wheel of its release, in a terminal?",
      ways,
      none,
    );
    if (!way) return false;
    const wheels = await vscode.window.showOpenDialog({
      title: "The wheel of the release: mcpgateway-VERSION-py3-none-any.whl",
      openLabel: "Install",
      filters: { "Python wheel": ["whl"] },
    });
    if (!wheels?.[0]) return false;
    if (!(await inSight([...way.words, quoted(wheels[0].fsPath)]))) return false;
    found = await bench.starter.program();
  }
  if (!found) {
    bench.failed("", new Error(`${absence()}; mcpgateway.path may name it`));
    return false;
  }
  if (bench.known.phase !== "here") await bench.run("mcpgateway.startGateway", []);
  if (!(await here(bench))) return false;
  const settings = vscode.workspace.getConfiguration();
  if (!bench.settings.autoStart) {
    const choices = [
      { label: "Yes", description: "start it when a window opens, and after a crash", value: true },
      { label: "No", description: "it runs until it is stopped", value: false },
    ];
    const isAuto = await picked("1/5 Start the gateway with VS Code?", choices, "");
    if (isAuto === undefined) return false;
    await settings.update("mcpgateway.autoStart", isAuto, vscode.ConfigurationTarget.Global);
  }
  return true;
};

/** Wait until the gateway answers. */
async function here(bench: Workbench): Promise<boolean> {
  const until = Date.now() + HERE_LIMIT_MS;
  while (bench.known.phase !== "here" && Date.now() < until) {
    await bench.poll();
    await new Promise((resume) => setTimeout(resume, 250));
  }
  return bench.known.phase === "here";
}

const clients: Step = async (bench) => {
  const found = await bench.act("Looking for clients", () => filesToEnrol(bench));
  if (!found) return false;
  const enrolled = new Set((bench.known.overview?.clients ?? []).map((each) => each.path));
  const others = found.filter((each) => !enrolled.has(each.path));
  if (!others.length) {
    void vscode.window.showInformationMessage(
      found.length ? "Every client uses the gateway" : "No client is on this machine",
    );
    return true;
  }
  const choices = others.map(({ count, ...client }) => ({
    label: plain(client.label),
    description: `${counted(count, "server")} in ${plain(client.path)}`,
    client,
  }));
  const title = "2/5 Which clients are to use the gateway? You see each change before it is made";
  const chosen = await vscode.window.showQuickPick(choices, { title, canPickMany: true });
  if (!chosen) return false;
  for (const { client } of chosen) await bench.run("mcpgateway.enrolClient", [{ id: "", label: "", client }]);
  return true;
};

const project: Step = async (bench) => {
  if (!vscode.workspace.workspaceFolders?.length) {
    void vscode.window.showInformationMessage("Open a folder first: a project is a folder");
    return true;
  }
  const found = await bench.act("Asking for the profiles", () =>
    bench.connection.api.get<{ items: Profile[] }>("/api/v1/profiles"),
  );
  const profiles = (found?.items ?? []).map(({ name, servers, description }) => ({
    label: `$(check) Yes, with the profile ${plain(name)}`,
    description: plain(description || servers.join(", ")),
    value: { isEnabled: true, profile: name },
  }));
  const choices = [
    { label: "$(check) Yes", description: "all servers", value: { isEnabled: true, profile: "" } },
    ...profiles,
    {
      label: "$(circle-slash) No",
      description: "nothing is shown or started here",
      value: { isEnabled: false, profile: "" },
    },
  ];
  const chosen = await picked(
    "3/5 Does this project use the gateway? .vscode/mcpgateway.json says so",
    choices,
    "",
  );
  if (!chosen) return false;
  await writeProject(chosen);
  return true;
};

const processes: Step = async (bench) => {
  const found = await listed(bench, []);
  if (!found.length) {
    void vscode.window.showInformationMessage("No client runs a server of its own that the gateway serves");
    return true;
  }
  const weight = found.reduce((sum, each) => sum + each.rss_kib, 0) / 1024;
  const lines = found.map(
    (each) => `${each.server} of ${each.client} (process ${each.pid}), ${memory(each.rss_kib / 1024)}`,
  );
  const what = `${counted(found.length, "old process", "old processes")} of clients, ${memory(weight)} together`;
  const detail = `Running clients have servers of their own that the gateway serves now:\n\n${lines.slice(0, 20).map(plain).join("\n")}\n\nEnded, they are missed by the clients that began them, until these are started anew.`;
  if (await confirmed(`4/5 End ${what}?`, detail, "End Them")) {
    await listed(bench, ["--end-duplicates"]);
    bench.done(`${what} are ended`);
  }
  return true;
};

/** Return the servers that clients have started themselves; a gateway that runs is left as it is. */
async function listed(bench: Workbench, options: readonly string[]): Promise<Duplicate[]> {
  const title = "Looking for old processes";
  const progress = { location: vscode.ProgressLocation.Window, title };
  const done = await vscode.window.withProgress(progress, () =>
    bench.starter.command(["--json", "start", ...options], START_LIMIT_MS),
  );
  return duplicatesIn(done?.out ?? "");
}

const summary: Step = async (bench) => {
  const { overview, servers } = bench.known;
  const enrolled = overview?.clients.length ?? 0;
  const lines = [
    `${counted(servers.length, "server")} for ${counted(enrolled, "client's file", "clients' files")} and the chat of this window.`,
    overview?.verdict ?? "",
  ];
  const actions = servers.length ? ["Try a Tool", "Show Servers"] : ["Add a Server", "Show Servers"];
  const detail = plain(lines.filter(Boolean).join("\n"));
  const chosen = await vscode.window.showInformationMessage(
    "5/5 MCP Gateway is set up",
    { modal: true, detail },
    ...actions,
  );
  if (chosen === "Try a Tool") await bench.run("mcpgateway.tryTool", []);
  if (chosen === "Add a Server") await bench.run("mcpgateway.addServer", []);
  if (chosen === "Show Servers") await vscode.commands.executeCommand("mcpgateway.servers.focus");
  return true;
};

const STEPS: [name: string, step: Step][] = [
  ["mcpgateway.setUpProgram", program],
  ["mcpgateway.setUpClients", clients],
  ["mcpgateway.setUpProject", project],
  ["mcpgateway.setUpProcesses", processes],
  ["mcpgateway.setUpSummary", summary],
];

const setUp: Command = async (bench) => {
  for (const [, step] of STEPS) if (!(await step(bench))) return;
};

export const SET_UP_COMMANDS: Record<string, Command> = {
  "mcpgateway.setUp": setUp,
  ...Object.fromEntries(STEPS.map(([name, step]): [string, Command] => [name, step])),
};
