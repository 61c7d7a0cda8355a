/** Commands of the program `mcpgateway`: in a terminal, or with an answer for the extension. */

import * as vscode from "vscode";
import { argumentsFor, complaintOf, ownEnvironment, type Ran } from "../program";
import type { Workbench } from "../workbench";

const LIMIT_MS = 60_000;

/** Run a command with a sign of its progress; undefined if it has failed, which the user is told. */
export async function asked(
  bench: Workbench,
  words: readonly string[],
  what: string,
  folder?: string,
): Promise<Ran | undefined> {
  const options = { location: vscode.ProgressLocation.Window, title: what };
  const done = await vscode.window.withProgress(options, () =>
    bench.starter.command(["--json", ...words], LIMIT_MS, folder),
  );
  if (done?.code === 0) return done;
  bench.failed(what, new Error(done ? complaintOf(done) : "The program mcpgateway is not found"));
  return undefined;
}

/** Run a command in a terminal, where the user sees it and may answer. */
export async function inTerminal(
  bench: Workbench,
  words: readonly string[],
  name = "MCP Gateway",
): Promise<void> {
  const program = await bench.starter.program();
  if (!program) {
    bench.failed("", new Error("The program mcpgateway is not found"));
    return;
  }
  const shellArgs = argumentsFor(bench.place.home, words);
  const terminal = vscode.window.createTerminal({ name, shellPath: program.path, shellArgs, env: unset() });
  terminal.show();
}

/** Return what a terminal's environment lacks: the editor's own variables. */
export function unset(): Record<string, null> {
  const own = ownEnvironment(process.env);
  return Object.fromEntries(
    Object.keys(process.env)
      .filter((each) => !(each in own))
      .map((each) => [each, null]),
  );
}
