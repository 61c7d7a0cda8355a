/** The imports: servers of clients' files, and the secrets of a KeePass file. */

import { counted, plain } from "@mcpgateway/core/words";
import * as vscode from "vscode";
import { confirmed, picked } from "../picks";
import { type Import, importOf, importText, secretsText, serversFilesIn } from "../program_answers";
import { projectFiles } from "../project_files";
import type { Command, Workbench } from "../workbench";
import { asked } from "./by_program";

/** Take servers of clients' files over into the gateway's own configuration; the files stay as they are. */
const importClients: Command = async (bench) => {
  const title = "Import the servers of which clients?";
  const found = await asked(bench, ["clients", "detect"], "Looking for clients");
  if (!found) return;
  const ofProjects = (await projectFiles(bench)).map(({ path, label, count }) => ({
    path,
    title: label,
    count,
  }));
  const files = [...serversFilesIn(found.out), ...ofProjects];
  if (!files.length) {
    void vscode.window.showInformationMessage("No client on this machine has servers of its own");
    return;
  }
  const choices = files.map((each) => ({
    label: plain(each.title),
    description: `${counted(each.count, "server")} in ${plain(each.path)}`,
    path: each.path,
  }));
  const chosen = await vscode.window.showQuickPick(choices, { title, canPickMany: true });
  if (!chosen?.length) return;
  const words = ["config", "import", ...chosen.map(({ path }) => path)];
  const rehearsed = await asked(bench, [...words, "--dry-run"], "Looking at the servers");
  if (!rehearsed || !(await agreed(bench, importOf(rehearsed)))) return;
  if (!(await asked(bench, words, "Importing servers"))) return;
  await bench.poll();
  const enrol = "Set Up Clients…";
  const text = "The servers are imported. Their clients still start their own until they use the gateway.";
  if ((await vscode.window.showInformationMessage(text, enrol)) === enrol)
    await vscode.commands.executeCommand("mcpgateway.setUpClients");
};

/** Show what an import would add; return whether the user wants it. */
async function agreed(bench: Workbench, found: Import): Promise<boolean> {
  if (!found.added) {
    const detail = found.notes.slice(0, 10).join("\n");
    void vscode.window.showInformationMessage("No server is new to the gateway", { modal: true, detail });
    return false;
  }
  await bench.run("mcpgateway.showText", ["import.yaml", importText(found)]);
  const detail =
    "The gateway's configuration gets the entries that the editor shows. The clients' files stay.";
  return await confirmed("Import these servers?", detail, "Import");
}

const importKeepass: Command = async (bench) => {
  const filters = { KeePass: ["kdbx"] };
  const [file] = (await vscode.window.showOpenDialog({ title: "Import from KeePass", filters })) ?? [];
  if (!file) return;
  const values = `${bench.place.home}/.env`;
  const choices = [
    {
      label: "Into the gateway's file of values",
      description: `${plain(values)}; entries refer to them, such as \${GITHUB_PASSWORD}`,
      value: ["--to-env-file", values],
    },
    {
      label: "To the servers of the same names",
      description: "as variables and headers of their entries",
      value: ["--to-server"],
    },
  ];
  const to = await picked("Where do the secrets go?", choices, "");
  if (!to) return;
  const password = await vscode.window.showInputBox({
    title: `The password of ${plain(file.fsPath)}`,
    prompt: "It is passed to the program mcpgateway, and kept nowhere",
    password: true,
    ignoreFocusOut: true,
  });
  if (password === undefined) return;
  const words = ["credential", "import-kdbx", file.fsPath, "--password-stdin", ...to];
  const done = await asked(bench, words, "Importing from KeePass", { input: `${password}\n` });
  if (done) await bench.run("mcpgateway.showText", ["keepass.txt", secretsText(done.out)]);
};

export const IMPORT_COMMANDS: Record<string, Command> = {
  "mcpgateway.importClients": importClients,
  "mcpgateway.importKeepass": importKeepass,
};
