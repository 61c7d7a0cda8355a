/** The logs of servers in log channels of VS Code, which has levels, a filter and a search for them. */

import { serverPath } from "@mcpgateway/core/operations";
import { follow, type Open } from "@mcpgateway/core/stream";
import * as vscode from "vscode";
import { leveled } from "./log_lines";
import type { Part, Workbench } from "./workbench";

interface Opened {
  channel: vscode.LogOutputChannel;
  reading: AbortController | undefined;
}

/** Logs that are followed at a time: the gateway has twenty streams for everybody. */
const MOST = 3;
const TAIL = 200;

export class Logs implements Part {
  /** By the names of the servers, the one that was shown last at the end. */
  readonly #opened = new Map<string, Opened>();

  constructor(readonly bench: Workbench) {}

  /** Show the log of a server, and follow it. */
  show(name: string): void {
    const found = this.#opened.get(name) ?? {
      channel: vscode.window.createOutputChannel(`MCP ${name}`, { log: true }),
      reading: undefined,
    };
    this.#opened.delete(name);
    this.#opened.set(name, found);
    if (!found.reading) this.#read(name, found);
    const read = [...this.#opened.values()].filter((each) => each.reading);
    for (const each of read.slice(0, -MOST)) {
      each.reading?.abort();
      each.reading = undefined;
      each.channel.info("Followed no more, since other logs are; Show Log follows it again");
    }
    found.channel.show(true);
  }

  #read(name: string, opened: Opened): void {
    const reading = new AbortController();
    opened.reading = reading;
    // The connection may be another one by the time that the stream is opened again.
    const open: Open = (lastId, signal) =>
      this.bench.connection.api.stream(serverPath(name, `logs?tail=${TAIL}`))(lastId, signal);
    let wasOpen = true;
    void follow(open, {
      signal: reading.signal,
      onOpen: (isOpen) => {
        if (!isOpen && wasOpen) opened.channel.warn("The gateway's log has ended, and is looked for again");
        wasOpen = isOpen;
      },
      onEvent: ({ data }) => {
        for (const line of data.split("\n")) {
          const { level, text } = leveled(line);
          opened.channel[level](text);
        }
      },
    });
  }

  dispose(): void {
    for (const { channel, reading } of this.#opened.values()) {
      reading?.abort();
      channel.dispose();
    }
  }
}
