/** The project of a window: its file is read where the workspace is trusted, and again when it changes. */

import * as vscode from "vscode";
import { answered, FILES, type Project, projectOf, SILENT } from "./project";
import type { Part, Workbench } from "./workbench";

const LIMIT = 100_000;

export class ProjectFile implements Part {
  readonly #watched: vscode.Disposable[];

  constructor(readonly bench: Workbench) {
    const files = vscode.workspace.createFileSystemWatcher(`**/.vscode/{mcpgateway,immorterm-config}.json`);
    const again = () => void this.read();
    this.#watched = [
      files,
      files.onDidChange(again),
      files.onDidCreate(again),
      files.onDidDelete(again),
      vscode.workspace.onDidGrantWorkspaceTrust(again),
      vscode.workspace.onDidChangeWorkspaceFolders(again),
    ];
  }

  /** Read the file of the first folder that has one. */
  async read(): Promise<void> {
    this.bench.project = vscode.workspace.isTrusted ? await found() : SILENT;
    this.bench.show();
  }

  dispose(): void {
    for (const each of this.#watched) each.dispose();
  }
}

async function found(): Promise<Project> {
  for (const { uri } of vscode.workspace.workspaceFolders ?? [])
    for (const name of FILES) {
      const text = await textOf(vscode.Uri.joinPath(uri, name));
      const project = projectOf(text);
      if (project.isEnabled !== undefined) return project;
    }
  return SILENT;
}

async function textOf(uri: vscode.Uri): Promise<string> {
  try {
    const content = await vscode.workspace.fs.readFile(uri);
    return content.length < LIMIT ? new TextDecoder().decode(content) : "";
  } catch {
    return "";
  }
}

/** Write whether the project of the window uses the gateway; return false where the window has no folder. */
export async function writeProject(project: Project): Promise<boolean> {
  const [folder] = vscode.workspace.workspaceFolders ?? [];
  if (!folder) return false;
  const uri = vscode.Uri.joinPath(folder.uri, FILES[0]);
  const text = answered(await textOf(uri), project);
  await vscode.workspace.fs.writeFile(uri, new TextEncoder().encode(text));
  return true;
}
