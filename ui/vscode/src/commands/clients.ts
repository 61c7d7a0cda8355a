/** The commands about clients: their files, and their sessions. */

import { plain } from "@mcpgateway/core/words";
import * as vscode from "vscode";
import { sidesOf } from "../diff";
import { type ClientFile, clientFor, confirmed, sessionFor } from "../picks";
import type { Command, Workbench } from "../workbench";

interface Plan {
  files: { path?: string; diff: string[]; error?: string; changed?: boolean }[];
}

// Clients' files are changed by a program of their own.
const LIMIT_MS = 60_000;

async function asked(
  bench: Workbench,
  path: string,
  file: ClientFile,
  what: string,
): Promise<Plan | undefined> {
  const body = { tool: file.tool, configPath: file.path };
  const found = await bench.act(what, () =>
    bench.connection.api.send<Plan>("POST", path, body, {}, LIMIT_MS),
  );
  const fault = found?.files.find((each) => each.error)?.error;
  if (fault) bench.failed(what, new Error(fault));
  return fault ? undefined : found;
}

const titleOf = (file: ClientFile, isEnrolled: boolean): string =>
  `${plain(file.label)}: ${isEnrolled ? "with its own servers again" : "through the gateway"}`;

/** Ask about the change that is shown, and close its editor. */
async function agreed(question: string, detail: string, yes: string, title: string): Promise<boolean> {
  const isAgreed = await confirmed(question, detail, yes);
  const { tabGroups } = vscode.window;
  await tabGroups.close(tabGroups.all.flatMap(({ tabs }) => tabs.filter((each) => each.label === title)));
  return isAgreed;
}

/** Show what becomes of a client's file; return whether something does. */
async function previewed(bench: Workbench, file: ClientFile, isEnrolled: boolean): Promise<boolean> {
  const path = isEnrolled ? "/clients/undo/plan" : "/clients/plan";
  const plan = await asked(bench, path, file, `Looking at the file of ${file.label}`);
  if (!plan) return false;
  const changed = plan.files.filter((each) => each.diff.length);
  if (!changed.length) {
    void vscode.window.showInformationMessage(`The file of ${plain(file.label)} stays as it is`);
    return false;
  }
  const title = titleOf(file, isEnrolled);
  for (const { path: at = file.path, diff } of changed) {
    await bench.run("mcpgateway.showDiff", [at.split(/[\\/]/).at(-1), title, sidesOf(diff)]);
  }
  return true;
}

const enrol: Command = async (bench, row) => {
  const file = await clientFor(bench, row, "Enrol which client?", false);
  if (!file || !(await previewed(bench, file, false))) return;
  const detail = `${plain(file.path)} is changed as the editor shows. Its original is kept, and is restored when the client is no longer enrolled.`;
  if (!(await agreed(`Enrol ${plain(file.label)}?`, detail, "Enrol", titleOf(file, false)))) return;
  if (await asked(bench, "/clients/apply", file, `Enrolling ${file.label}`))
    bench.done(`${file.label} uses the gateway from its next start`);
};

const restore: Command = async (bench, row) => {
  const file = await clientFor(bench, row, "Restore the file of which client?", true);
  if (!file || !(await previewed(bench, file, true))) return;
  const detail = `${plain(file.path)} gets its own entries back, and uses the gateway no more.`;
  if (!(await agreed(`Restore ${plain(file.label)}?`, detail, "Restore", titleOf(file, true)))) return;
  if (await asked(bench, "/clients/undo", file, `Restoring ${file.label}`))
    bench.done(`${file.label} has its own servers again, from its next start`);
};

/** Show what enrolling would change, or restoring. */
const preview: Command = async (bench, row) => {
  const paths = new Set((bench.known.overview?.clients ?? []).map((each) => each.path));
  const file = await clientFor(bench, row, "Preview the change of which client's file?", false);
  if (file) await previewed(bench, file, paths.has(file.path));
};

const openFile: Command = async (bench, row) => {
  const file = await clientFor(bench, row, "Open the file of which client?", true);
  if (file) await vscode.window.showTextDocument(vscode.Uri.file(file.path));
};

const endSession: Command = async (bench, row) => {
  const id = await sessionFor(bench, row);
  if (!id || !(await confirmed("End this session?", "Its client has to connect anew.", "End"))) return;
  const ended = await bench.act("Ending the session", () =>
    bench.connection.api.send<object>("DELETE", `/api/v1/sessions/${encodeURIComponent(id)}`),
  );
  if (ended) bench.done("The session is ended");
};

export const CLIENT_COMMANDS: Record<string, Command> = {
  "mcpgateway.enrolClient": enrol,
  "mcpgateway.restoreClient": restore,
  "mcpgateway.previewClient": preview,
  "mcpgateway.openClientFile": openFile,
  "mcpgateway.endSession": endSession,
};
