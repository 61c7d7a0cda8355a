/** Pages of the dashboard in panels of the editor: a server, a tool to try, a call with its times. */

import type { FromPanel, ToPanel } from "@mcpgateway/core/panel";
import * as vscode from "vscode";
import { openPage } from "./commands/gateway";
import { addressOf } from "./commands/servers";
import { pageText } from "./page_text";
import { Relay } from "./relay";
import type { Known } from "./watch";
import type { Part, Workbench } from "./workbench";

const TYPE = "mcpgateway.page";
const FOLDER = "pages";

export class Panels implements Part, vscode.WebviewPanelSerializer {
  readonly #open = new Map<vscode.WebviewPanel, Panel>();
  readonly #registered: vscode.Disposable[];

  constructor(readonly bench: Workbench) {
    this.#registered = [
      vscode.window.registerWebviewPanelSerializer(TYPE, this),
      bench.onEvent((event) => this.#tell({ event })),
    ];
  }

  /** Show a page: in the panel that has it, or in a new one. */
  show(address: string, title: string): void {
    for (const [panel, { address: shown }] of this.#open) {
      if (shown !== address) continue;
      panel.reveal();
      return;
    }
    const panel = vscode.window.createWebviewPanel(TYPE, title, vscode.ViewColumn.Active, {
      ...this.#options,
      // A session that tries tools, and what the user has typed, outlive a look at another tab.
      retainContextWhenHidden: true,
      enableFindWidget: true,
    });
    this.#take(panel, address);
  }

  async deserializeWebviewPanel(panel: vscode.WebviewPanel, state: unknown): Promise<void> {
    const { address } = (state ?? {}) as { address?: unknown };
    panel.webview.options = this.#options;
    this.#take(panel, typeof address === "string" ? address : "/ui/servers");
  }

  get #options(): vscode.WebviewOptions {
    return { enableScripts: true, localResourceRoots: [this.#folder] };
  }

  get #folder(): vscode.Uri {
    return vscode.Uri.joinPath(this.bench.context.extensionUri, FOLDER);
  }

  #take(panel: vscode.WebviewPanel, address: string): void {
    this.#open.set(panel, new Panel(this.bench, panel, this.#folder, address));
    panel.onDidDispose(() => {
      this.#open.get(panel)?.end();
      this.#open.delete(panel);
    });
  }

  follow({ isStreaming }: Known): void {
    this.#tell({ isStreaming });
  }

  #tell(message: ToPanel): void {
    for (const panel of this.#open.keys()) void panel.webview.postMessage(message);
  }

  dispose(): void {
    for (const each of this.#registered) each.dispose();
    for (const panel of this.#open.keys()) panel.dispose();
  }
}

class Panel {
  readonly #relay: Relay;

  constructor(
    readonly bench: Workbench,
    readonly panel: vscode.WebviewPanel,
    folder: vscode.Uri,
    public address: string,
  ) {
    const { webview } = panel;
    const post = (message: ToPanel) => void webview.postMessage(message);
    this.#relay = new Relay(() => bench.connection.gate, post);
    webview.onDidReceiveMessage((message: FromPanel) => void this.#hear(message));
    panel.onDidChangeViewState(() => post({ isVisible: panel.visible }));
    void addressOf(bench).then((origin) => {
      const file = (name: string) => webview.asWebviewUri(vscode.Uri.joinPath(folder, name)).toString();
      webview.html = pageText({
        source: webview.cspSource,
        script: file("main.js"),
        style: file("style.css"),
        origin,
        address,
      });
    });
  }

  async #hear(message: FromPanel): Promise<void> {
    const { bench, panel } = this;
    if ("id" in message) await this.#relay.send(message);
    else if ("ended" in message) this.#relay.end(message.ended);
    else if ("open" in message) await openPage(bench, message.open);
    else if ("save" in message) await save(message.save, message.text);
    else if ("isLocked" in message) await bench.run("mcpgateway.enterToken", []);
    else {
      panel.title = message.title;
      this.address = message.address;
      void panel.webview.postMessage({ isStreaming: bench.known.isStreaming } satisfies ToPanel);
    }
  }

  end(): void {
    this.#relay.end();
  }
}

async function save(name: string, text: string): Promise<void> {
  const [folder] = vscode.workspace.workspaceFolders ?? [];
  const defaultUri = folder ? vscode.Uri.joinPath(folder.uri, name) : vscode.Uri.file(name);
  const uri = await vscode.window.showSaveDialog({ defaultUri });
  if (uri) await vscode.workspace.fs.writeFile(uri, new TextEncoder().encode(text));
}
