/** Commands of the program `mcpgateway`, and what the extension does with their answers. */

import * as vscode from "vscode";
import { absence, complaintOf, type Given, ownEnvironment, type Ran } from "../program";
import type { Workbench } from "../workbench";

const LIMIT_MS = 60_000;

/** Run a command with a sign of its progress; undefined if it has failed, which the user is told. */
export async function asked(
  bench: Workbench,
  words: readonly string[],
  what: string,
  given?: Given,
): Promise<Ran | undefined> {
  const options = { location: vscode.ProgressLocation.Window, title: what };
  const done = await vscode.window.withProgress(options, () =>
    bench.starter.command(["--json", ...words], LIMIT_MS, given),
  );
  if (done?.code === 0) return done;
  bench.failed(what, new Error(done ? complaintOf(done) : absence()));
  return undefined;
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
