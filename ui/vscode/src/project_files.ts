/** The clients' files in the folders of a window that have servers of their own. */

import { readFile } from "node:fs/promises";
import * as vscode from "vscode";
import { type OwnServers, othersIn, PROJECT_FILES } from "./lens";
import { portOf } from "./place";
import type { Workbench } from "./workbench";

/** Return the files; those of a workspace only if it is trusted. */
export async function projectFiles(bench: Workbench): Promise<OwnServers[]> {
  const folders = vscode.workspace.isTrusted ? (vscode.workspace.workspaceFolders ?? []) : [];
  const port = portOf(bench.place.home);
  const found: OwnServers[] = [];
  for (const { uri } of folders)
    for (const name of PROJECT_FILES) {
      const path = vscode.Uri.joinPath(uri, name).fsPath;
      const others = othersIn(path, await readFile(path, "utf8").catch(() => ""), port);
      if (others?.count) found.push(others);
    }
  return found;
}
