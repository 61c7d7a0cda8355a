/** The rows that are asked for only while their view is open: clients with their sessions, calls, and tools. */

import type { Call } from "@mcpgateway/core/calls";
import { withNew } from "@mcpgateway/core/calls";
import type { DetectedClient, Session, ToolRow } from "@mcpgateway/core/model";
import { follow, type Open } from "@mcpgateway/core/stream";
import type * as vscode from "vscode";
import { clientRows } from "./client_rows";
import { callRows, type Row, toolRows } from "./rows";
import type { Known } from "./watch";
import type { Part, Workbench } from "./workbench";

const CALLS = 100;
const SESSIONS = 200;
const LOOK_MS = 10_000;

/** The view Clients. */
export class ClientView implements Part {
  readonly #seen: vscode.Disposable;
  #detected: DetectedClient[] = [];
  #sessions: Session[] = [];
  #titles = new Map<string, string>();
  #enrolled = "";
  #asking = false;
  #askedAt = 0;

  constructor(
    readonly bench: Workbench,
    readonly window: () => Row,
  ) {
    this.#seen = bench.trees.clients.view.onDidChangeVisibility(() => this.follow(bench.known));
  }

  follow({ phase, overview }: Known): void {
    const { clients } = this.bench.trees;
    if (phase !== "here" || !overview) {
      clients.show([]);
      return;
    }
    if (!clients.view.visible) return;
    void this.#ask(JSON.stringify(overview.clients));
    this.#show();
  }

  async #ask(enrolled: string): Promise<void> {
    const isDue = enrolled !== this.#enrolled || Date.now() - this.#askedAt > LOOK_MS;
    if (this.#asking || !isDue) return;
    this.#asking = true;
    try {
      const { api } = this.bench.connection;
      const [found, { clients }, { sessions }] = await Promise.all([
        api.get<{ detected: DetectedClient[] }>("/clients/detect"),
        api.get<{ clients: { name: string; title: string }[] }>("/clients"),
        api.get<{ sessions: Session[] }>(`/api/v1/sessions?limit=${SESSIONS}`),
      ]);
      this.#detected = found.detected;
      this.#sessions = sessions;
      this.#titles = new Map(clients.map(({ name, title }) => [name, title]));
      this.#enrolled = enrolled;
      this.#show();
    } catch (why) {
      this.bench.log.warn(`The clients are not known: ${String(why)}`);
    } finally {
      this.#askedAt = Date.now();
      this.#asking = false;
    }
  }

  #show(): void {
    const enrolled = this.bench.known.overview?.clients ?? [];
    const rows = clientRows(
      { enrolled, detected: this.#detected, sessions: this.#sessions, titles: this.#titles },
      this.window(),
    );
    this.bench.trees.clients.show(rows);
  }

  dispose(): void {
    this.#seen.dispose();
  }
}

/** The view Calls: a stream while it is open. */
export class CallView implements Part {
  readonly #seen: vscode.Disposable;
  #reading: AbortController | undefined;
  #calls: Call[] = [];

  constructor(readonly bench: Workbench) {
    this.#seen = bench.trees.calls.view.onDidChangeVisibility(() => this.follow(bench.known));
  }

  follow({ phase }: Known): void {
    const isWanted = phase === "here" && this.bench.trees.calls.view.visible;
    if (isWanted === Boolean(this.#reading)) return;
    this.#reading?.abort();
    this.#reading = isWanted ? new AbortController() : undefined;
    if (this.#reading) void this.#read(this.#reading.signal);
  }

  async #read(signal: AbortSignal): Promise<void> {
    this.#calls = [];
    const path = `/api/v1/activity?follow=true&kind=call&limit=${CALLS}`;
    const open: Open = (lastId, ending) => this.bench.connection.api.stream(path)(lastId, ending);
    let soon: NodeJS.Timeout | undefined;
    const onEvent = ({ data }: { data: string }) => {
      try {
        this.#calls = withNew(this.#calls, [JSON.parse(data) as Call], CALLS);
      } catch {
        return; // of another shape
      }
      // A burst of calls is shown at once.
      if (soon) return;
      soon = setTimeout(() => {
        soon = undefined;
        this.bench.trees.calls.show(callRows(this.#calls));
      }, 100);
    };
    await follow(open, { signal, onEvent });
  }

  dispose(): void {
    this.#seen.dispose();
    this.#reading?.abort();
  }
}

/** Return the rows below a server. */
export async function toolsBelow(bench: Workbench, row: Row): Promise<Row[]> {
  const [name = ""] = row.servers ?? [];
  const path = `/api/v1/tools?asked=false&offered=false&server=${encodeURIComponent(name)}`;
  return toolRows(name, await bench.connection.api.get<ToolRow[]>(path));
}
