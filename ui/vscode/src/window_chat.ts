/** What the chat of a window is told, and the start of the gateway when the chat needs it. */

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { View } from "@mcpgateway/core/model";
import * as vscode from "vscode";
import { endpointOf, leadsHere, type Offer, offersOf, windowRow } from "./chat";
import { addressOf } from "./commands/servers";
import { isOwn, portOf } from "./place";
import type { ChatProvider, OfferingChat } from "./provider";
import type { Row } from "./rows";
import type { Known } from "./watch";
import type { Command, Part, Workbench } from "./workbench";

const START_LIMIT_MS = 10_000;
const FILE_LIMIT = 1_000_000;
const TRIES = 10;
const TRY_MS = 1000;

/** The chat of one window. */
export class Chat implements Part, OfferingChat {
  #offers: Offer[] = [];
  /** The labels of the definitions that VS Code has started. */
  readonly begun = new Set<string>();
  #view: View | undefined;
  #shown = "";
  #asked = "";
  /** The file of VS Code by which its chat uses the gateway already; empty for none. */
  #isThere = "";

  readonly #watched: vscode.Disposable[];

  constructor(
    readonly bench: Workbench,
    readonly provider: ChatProvider,
  ) {
    const files = vscode.workspace.createFileSystemWatcher("**/.vscode/mcp.json");
    const again = () => void this.#offer(bench.known.phase === "here");
    this.#watched = [files, files.onDidChange(again), files.onDidCreate(again), files.onDidDelete(again)];
  }

  get offers(): readonly Offer[] {
    return this.#offers;
  }

  get row(): Row {
    return windowRow(this.#offers, this.#view, this.#isThere);
  }

  follow({ phase, overview, servers }: Known): void {
    // The list of tools is asked for when the servers have changed.
    const state = JSON.stringify([
      phase,
      this.bench.offered,
      this.bench.isOfProject,
      servers.map((each) => [each.name, each.enabled, each.tool_count]),
    ]);
    if (state !== this.#asked) {
      this.#asked = state;
      void this.#ask(phase === "here" && overview !== undefined);
    }
  }

  async #ask(isHere: boolean): Promise<void> {
    const { bench } = this;
    const name = endpointOf(bench.offered)?.slice(1);
    try {
      if (!isHere || !name) this.#view = isHere ? undefined : this.#view;
      else {
        const query = `view=${encodeURIComponent(name)}&client=vscode`;
        this.#view = (await bench.connection.api.get<{ items: View[] }>(`/api/v1/views?${query}`)).items[0];
      }
    } catch (why) {
      bench.log.warn(`The tools for the chat are not known: ${String(why)}`);
    }
    await this.#offer(isHere);
  }

  async #offer(isHere: boolean): Promise<void> {
    const { bench, provider } = this;
    const port = portOf(bench.place.home);
    this.#isThere = await this.#fileThatLeads(port);
    // Before its first start a gateway is offered to nobody.
    const isKnown = isHere || (isOwn(bench.place) && existsSync(bench.place.home));
    const isWanted = isKnown && bench.isOfProject !== false && !this.#isThere;
    const base = isHere || !port ? await addressOf(bench) : `http://localhost:${port}`;
    const folders = (vscode.workspace.workspaceFolders ?? []).filter((each) => each.uri.scheme === "file");
    this.#offers = isWanted
      ? offersOf({
          offered: bench.offered,
          base,
          folders: folders.map(({ name, uri }) => ({ name, path: uri.fsPath })),
          servers: bench.known.servers,
          view: this.#view,
          pid: process.pid,
        })
      : [];
    const shown = JSON.stringify([this.#offers, this.row]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    provider.changed();
    bench.show();
  }

  /** Return the file of VS Code's own MCP servers that leads to the gateway; a workspace's only if it is trusted. */
  async #fileThatLeads(port: number | undefined): Promise<string> {
    const user = vscode.Uri.joinPath(this.bench.context.globalStorageUri, "..", "..", "mcp.json");
    const folders = vscode.workspace.isTrusted ? (vscode.workspace.workspaceFolders ?? []) : [];
    const files: [shown: string, path: string][] = [
      ["your mcp.json", user.fsPath],
      ...folders.map(({ uri }): [string, string] => [
        ".vscode/mcp.json",
        vscode.Uri.joinPath(uri, ".vscode/mcp.json").fsPath,
      ]),
    ];
    for (const [shown, path] of files) {
      try {
        const text = await readFile(path, "utf8");
        if (text.length < FILE_LIMIT && leadsHere(text, port)) return shown;
      } catch {
        // It is not there.
      }
    }
    return "";
  }

  /**
   * Make sure that the gateway runs, and let it know the window.
   *
   * @throws Error the gateway is not there; the chat shows the sentence.
   */
  async resolve(definition: vscode.McpHttpServerDefinition): Promise<void> {
    const { bench } = this;
    const { starter, place } = bench;
    this.begun.add(definition.label);
    await bench.poll();
    if (bench.known.phase === "away" && isOwn(place)) {
      if (bench.ending === "stopped")
        throw new Error("You have stopped the MCP gateway: start it, then try again");
      const fault = await Promise.race([starter.start(), late()]);
      if (fault) throw new Error(`The MCP gateway could not be started: ${fault}`);
      await bench.poll();
    }
    const { phase, refusal, overview } = bench.known;
    if (phase !== "here") throw new Error(refusal || "The MCP gateway does not answer");
    const { path, query } = definition.uri;
    definition.uri = vscode.Uri.parse(await addressOf(bench), true).with({ path, query });
    const token = place.socket
      ? overview?.auth === "enabled" && (await ownToken(place.home))
      : bench.connection.token;
    if (token) definition.headers = { ...definition.headers, Authorization: `Bearer ${token}` };
  }

  dispose(): void {
    for (const each of this.#watched) each.dispose();
  }
}

function late(): Promise<string> {
  return new Promise((resolve) => {
    setTimeout(() => resolve("it takes longer than usual; try again in a moment"), START_LIMIT_MS).unref();
  });
}

async function ownToken(home: string): Promise<string> {
  try {
    return (await readFile(`${home}/auth.token`, "utf8")).trim();
  } catch {
    return "";
  }
}

/** Return the command that lets the chat start the gateway's servers now, and not with its next question. */
export function startChat(chat: Chat): Command {
  return async (bench) => {
    const extension = bench.context.extension.id.toLowerCase();
    const missing = () => chat.offers.filter(({ label }) => !chat.begun.has(label));
    let wanted = chat.offers;
    // In its first seconds a window has no offers yet, or takes the command and does nothing.
    for (let tries = 0; tries < TRIES && (wanted.length || !chat.offers.length); tries++) {
      for (const { label } of wanted)
        void vscode.commands.executeCommand("workbench.mcp.startServer", `${extension}/${label}`);
      await new Promise((resume) => setTimeout(resume, TRY_MS));
      wanted = missing();
    }
    if (!chat.offers.length)
      bench.failed(
        "",
        new Error("This window does not use the gateway's tools: see its settings, and mcp.json"),
      );
    else if (wanted.length)
      bench.failed(
        "",
        new Error("VS Code does not start the gateway's tools: see its setting chat.mcp.access"),
      );
  };
}
