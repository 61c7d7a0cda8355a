/** The commands about the gateway itself. */

import { counted } from "@mcpgateway/core/words";
import * as vscode from "vscode";
import { faultOfToken } from "../connection";
import { confirmed, picked, rowOf } from "../picks";
import { doctorText, type Examined, examinedIn } from "../texts";
import type { Command, Workbench } from "../workbench";

const DOCTOR_MS = 60_000;

const refresh: Command = async (bench) => {
  await bench.poll();
  bench.trees.servers.refresh();
};

const startGateway: Command = async (bench) => {
  bench.starter.isWanted = true;
  const options = { location: vscode.ProgressLocation.Notification, title: "Starting the MCP gateway" };
  const fault = await vscode.window.withProgress(options, () => bench.starter.start());
  await bench.poll();
  if (!fault) {
    bench.done("The gateway runs");
    return;
  }
  bench.log.error(fault);
  const ways = bench.starter.isMissing ? ["Set Up…", "Choose Program…"] : ["Show Log", "Run Doctor"];
  const chosen = await vscode.window.showErrorMessage(`The gateway could not be started: ${fault}`, ...ways);
  if (chosen === "Set Up…") await bench.run("mcpgateway.setUp", []);
  if (chosen === "Choose Program…") await showSetting("mcpgateway.path");
  if (chosen === "Show Log") bench.log.show();
  if (chosen === "Run Doctor") await bench.run("mcpgateway.doctor", []);
};

const stopGateway: Command = async (bench) => {
  const { sessions = 0 } = bench.known.overview ?? {};
  const detail = `${counted(sessions, "session")} of clients end, and enrolled clients get their own servers back. It is not started again until you start it.`;
  if (!(await confirmed("Stop the gateway?", detail, "Stop"))) return;
  const options = { location: vscode.ProgressLocation.Notification, title: "Stopping the MCP gateway" };
  const fault = await vscode.window.withProgress(options, () => bench.starter.stop());
  if (fault) bench.failed("The gateway is not stopped", new Error(fault));
  else bench.done("The gateway is stopped");
  await bench.poll();
};

const restartGateway: Command = async (bench) => {
  const detail = "Servers are stopped, and start again with their next request. Sessions of clients stay.";
  if (!(await confirmed("Restart the gateway?", detail, "Restart"))) return;
  const sent = await bench.act("Restarting the gateway", () =>
    bench.connection.api.send<object>("POST", "/api/v1/restart"),
  );
  if (sent) bench.done("The gateway restarts");
};

function enabling(isOn: boolean): Command {
  return async (bench) => {
    const detail =
      "Clients' files are restored, and requests to servers are refused until the gateway is enabled again.";
    if (!isOn && !(await confirmed("Disable the gateway?", detail, "Disable"))) return;
    const path = `/api/gateway/${isOn ? "enable" : "disable"}`;
    const sent = await bench.act(isOn ? "Enabling the gateway" : "Disabling the gateway", () =>
      bench.connection.api.send<object>("POST", path, {}),
    );
    if (sent) bench.done(`The gateway is ${isOn ? "enabled" : "disabled"}`);
  };
}

const doctor: Command = async (bench) => {
  const path = "/api/v1/doctor";
  const found = await bench.act("Examining the gateway", async () =>
    bench.known.phase === "here"
      ? await bench.connection.api.send<Examined>("GET", path, undefined, {}, DOCTOR_MS)
      : examinedIn((await bench.starter.command(["--json", "doctor"], DOCTOR_MS))?.out ?? ""),
  );
  if (found) await bench.run("mcpgateway.showText", ["doctor.txt", doctorText(found.findings)]);
};

/** Do what helps against a need: its first request, or the page of it. */
const remedy: Command = async (bench, argument) => {
  const given = rowOf(argument)?.need;
  const needs = bench.known.overview?.needs ?? [];
  const choices = needs.map((each) => ({ label: each.name, description: each.says, value: each }));
  const need = given ?? (await picked("What needs you", choices, "Nothing needs you"));
  if (!need) return;
  const action = need.actions.find((each) => each.method === "POST" && each.path);
  if (need.action === "sign-in") await bench.run("mcpgateway.signIn", [need.name]);
  else if (need.action === "set" && need.kind === "server")
    await bench.run("mcpgateway.editServer", [need.name]);
  else if (action?.path) {
    const { label, path } = action;
    await bench.act(label, () => bench.connection.api.send<object>("POST", path, undefined, {}, 60_000));
  } else await openPage(bench, need.actions.find((each) => each.page)?.page ?? "/ui/");
};

/** Open a page of the dashboard in the browser, signed in. */
export async function openPage(bench: Workbench, page: string): Promise<void> {
  const made = await bench.act("Opening the dashboard", () =>
    bench.connection.api.send<{ code: string; url: string }>("POST", "/api/v1/ui/codes", {}),
  );
  if (!made) return;
  const base = bench.place.socket ? made.url : bench.place.base;
  // The address goes through the editor, which forwards the port of another machine.
  const address = await vscode.env.asExternalUri(vscode.Uri.parse(base + page, true));
  await vscode.env.openExternal(address.with({ fragment: `code=${made.code}` }));
}

const openDashboard: Command = (bench, argument) => {
  const row = rowOf(argument);
  const [name] = row?.servers ?? [];
  const page =
    row?.context === "call"
      ? `/ui/calls/${row.id.replace(/^call\//, "")}`
      : name
        ? `/ui/servers/${encodeURIComponent(name)}`
        : "/ui/";
  return openPage(bench, page);
};

const openConfiguration: Command = async (bench) => {
  const found = await bench.act("Looking for the configuration", () =>
    bench.connection.api.get<{ files: (string | { path: string; exists?: boolean })[] }>("/api/v1/config"),
  );
  const paths = (found?.files ?? []).map((each) => (typeof each === "string" ? each : each.path));
  const there: string[] = [];
  for (const path of paths) if (await isFile(path)) there.push(path);
  const choices = there.map((path) => ({ label: path, value: path }));
  const chosen =
    there.length === 1
      ? there[0]
      : await picked("Open which file?", choices, "No file of it is on this machine");
  if (chosen) await vscode.window.showTextDocument(vscode.Uri.file(chosen));
};

async function isFile(path: string): Promise<boolean> {
  try {
    return (
      (await vscode.workspace.fs.stat(vscode.Uri.file(path))).type === vscode.FileType.File &&
      /\.(?:ya?ml|json)$/.test(path)
    );
  } catch {
    return false;
  }
}

const openSettings: Command = async (bench) => showSetting(`@ext:${bench.context.extension.id}`);

async function showSetting(query: string): Promise<void> {
  await vscode.commands.executeCommand("workbench.action.openSettings", query);
}

const enterToken: Command = async (bench) => {
  if (bench.place.socket) {
    void vscode.window.showInformationMessage(
      "The gateway of this machine is reached by its own socket, which needs no token",
    );
    return;
  }
  const token = await vscode.window.showInputBox({
    title: `The token of ${bench.place.base}`,
    prompt: "mcpgateway token show prints it; it is kept where the editor keeps secrets. Empty forgets it",
    password: true,
    ignoreFocusOut: true,
    validateInput: (text) => faultOfToken(text.trim()) || undefined,
  });
  if (token === undefined) return;
  await bench.connection.keepToken(token.trim());
  await bench.poll();
};

/** What makes sense now, at a click on the status bar. */
const menu: Command = async (bench) => {
  const { phase, overview } = bench.known;
  const isHere = phase === "here" && overview;
  const offered: [label: string, command: string, isOffered: unknown][] = [
    [
      `$(warning) ${counted(overview?.needs.length ?? 0, "thing needs", "things need")} you`,
      "remedy",
      overview?.needs.length,
    ],
    ["$(play) Start the gateway", "startGateway", phase === "away"],
    ["$(key) Enter the token", "enterToken", phase === "refused"],
    ["$(list-tree) Show servers", "servers.focus", isHere],
    ["$(add) Add a server", "addServer", isHere],
    ["$(library) Add a server from the catalogue", "addFromCatalogue", isHere],
    ["$(debug-restart) Restart a server", "restartServer", isHere && overview.servers],
    ["$(output) Show the log of a server", "showLogs", isHere && overview.servers],
    ["$(link-external) Open the dashboard", "openDashboard", isHere],
    ["$(pulse) Run doctor", "doctor", isHere],
    ["$(debug-stop) Stop the gateway", "stopGateway", isHere],
    ["$(output) Show the extension's log", "showGatewayLog", true],
    ["$(gear) Open settings", "openSettings", true],
  ];
  const items = offered.filter(([, , is]) => is).map(([label, command]) => ({ label, command }));
  const chosen = await vscode.window.showQuickPick(items, {
    title: "MCP Gateway",
    placeHolder: overview?.verdict ?? "",
  });
  if (chosen) await vscode.commands.executeCommand(`mcpgateway.${chosen.command}`);
};

export const GATEWAY_COMMANDS: Record<string, Command> = {
  "mcpgateway.refresh": refresh,
  "mcpgateway.menu": menu,
  "mcpgateway.startGateway": startGateway,
  "mcpgateway.stopGateway": stopGateway,
  "mcpgateway.restartGateway": restartGateway,
  "mcpgateway.enableGateway": enabling(true),
  "mcpgateway.disableGateway": enabling(false),
  "mcpgateway.doctor": doctor,
  "mcpgateway.remedy": remedy,
  "mcpgateway.openDashboard": openDashboard,
  "mcpgateway.openConfiguration": openConfiguration,
  "mcpgateway.openSettings": openSettings,
  "mcpgateway.enterToken": enterToken,
  "mcpgateway.showGatewayLog": async (bench) => bench.log.show(),
};
