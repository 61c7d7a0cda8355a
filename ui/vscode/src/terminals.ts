/** The sessions of clients in terminals: they are ended with their terminal, and not when the gateway misses them. */

import type { Session } from "@mcpgateway/core/model";
import * as vscode from "vscode";
import { ancestorIn, parentsOfAll } from "./processes";
import type { Known } from "./watch";
import type { Part, Workbench } from "./workbench";

/** Processes of a terminal that are remembered; a client has a few. */
const MOST = 100;
const LOOK_MS = 2000;

export class Terminals implements Part {
  /** The processes of clients in each terminal, by its shell. */
  readonly #clients = new Map<number, Set<number>>();
  readonly #registered: vscode.Disposable[];
  #isLooking = false;
  #sessions = 0;

  constructor(readonly bench: Workbench) {
    this.#registered = [vscode.window.onDidCloseTerminal((terminal) => void this.#ended(terminal))];
  }

  follow({ phase, overview }: Known): void {
    const sessions = phase === "here" ? (overview?.sessions ?? 0) : 0;
    if (!vscode.window.terminals.length || !sessions || sessions === this.#sessions) return;
    this.#sessions = sessions;
    void this.#look();
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      const shells = new Set<number>();
      for (const each of vscode.window.terminals) shells.add((await each.processId) ?? 0);
      shells.delete(0);
      const { sessions } = await this.bench.connection.api.get<{ sessions: Session[] }>(
        "/api/v1/sessions?limit=1000",
      );
      const parents = await parentsOfAll();
      for (const { pid } of sessions) {
        const shell = pid ? ancestorIn(pid, parents, shells) : undefined;
        if (!pid || shell === undefined) continue;
        const known = this.#clients.get(shell) ?? new Set();
        if (known.size < MOST) known.add(pid);
        this.#clients.set(shell, known);
      }
    } catch (why) {
      this.bench.log.debug(`The clients in terminals are not known: ${String(why)}`);
    } finally {
      setTimeout(() => {
        this.#isLooking = false;
      }, LOOK_MS).unref();
    }
  }

  async #ended(terminal: vscode.Terminal): Promise<void> {
    const shell = await terminal.processId;
    if (!shell) return;
    const clients = [shell, ...(this.#clients.get(shell) ?? [])];
    this.#clients.delete(shell);
    for (const pid of clients) {
      try {
        await this.bench.connection.api.send("DELETE", `/sessions/by-pid/${pid}`);
      } catch {
        // The gateway is away, and its sessions with it.
        return;
      }
    }
  }

  dispose(): void {
    for (const each of this.#registered) each.dispose();
  }
}
