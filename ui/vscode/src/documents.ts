/** Texts of the gateway in editors: read-only, and kept while they are open. */

import * as vscode from "vscode";
import type { Part } from "./workbench";

const SCHEME = "mcpgateway";

export class Documents implements vscode.TextDocumentContentProvider, Part {
  readonly #texts = new Map<string, string>();
  readonly #changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.#changed.event;
  readonly #registered: vscode.Disposable[];

  constructor() {
    this.#registered = [
      vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
      vscode.workspace.onDidCloseTextDocument(({ uri }) => {
        if (uri.scheme === SCHEME) this.#texts.delete(uri.toString());
      }),
      this.#changed,
    ];
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.#texts.get(uri.toString()) ?? "";
  }

  /** Give a name a text, and return its address. */
  put(name: string, text: string): vscode.Uri {
    const uri = vscode.Uri.from({ scheme: SCHEME, path: `/${name}` });
    this.#texts.set(uri.toString(), text);
    this.#changed.fire(uri);
    return uri;
  }

  /** Show a text. */
  async show(name: string, text: string): Promise<void> {
    const document = await vscode.workspace.openTextDocument(this.put(name, text));
    await vscode.window.showTextDocument(document, { preview: true });
  }

  /** Show a change in a diff editor. */
  async diff(name: string, title: string, sides: { before: string; after: string }): Promise<void> {
    const [before, after] = [
      this.put(`before/${name}`, sides.before),
      this.put(`after/${name}`, sides.after),
    ];
    // A part of a file is no JSON, and is not to be checked as such.
    for (const each of [before, after])
      await vscode.languages.setTextDocumentLanguage(
        await vscode.workspace.openTextDocument(each),
        "plaintext",
      );
    await vscode.commands.executeCommand("vscode.diff", before, after, title, { preview: true });
  }

  dispose(): void {
    for (const each of this.#registered) each.dispose();
  }
}
