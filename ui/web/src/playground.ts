/** A session of this page's own with a server: made for its first request, ended with the page. */

import { ApiError } from "@mcpgateway/core/api";
import { McpClient, McpError, type McpFrame } from "@mcpgateway/core/mcp";
import { signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { api, overview } from "./gateway";
import { signed } from "./session";

/** A request of the server that the user answers. */
export interface Asked {
  id: number;
  kind: "elicitation" | "sampling";
  params: Record<string, unknown>;
  answer: (result: Record<string, unknown>) => void;
  refuse: (why: string) => void;
}

const LOST = 404; // the gateway does not know the session any more
const REFUSED = -1; // "User rejected sampling request", as the specification has it
const KEPT = 500;

export class Playground {
  readonly server: string;
  /** The messages of the session, the latest last. */
  readonly frames = signal<readonly McpFrame[]>([]);
  /** The requests of the server that wait for the user. */
  readonly asked = signal<readonly Asked[]>([]);
  /** The directory that the server is told as a root; empty for none. */
  readonly root = signal("");
  #client: Promise<McpClient> | undefined;
  #token = "";
  #latest = 0;

  constructor(server: string) {
    this.server = server;
  }

  /** Do something in the session, which is begun where there is none. */
  async use<T>(work: (client: McpClient) => Promise<T>): Promise<T> {
    if (this.#token !== signed.value.token) this.end();
    this.#token = signed.value.token;
    const isFormer = this.#client !== undefined;
    this.#client ??= this.#begin();
    const client = this.#client;
    try {
      return await work(await client);
    } catch (why) {
      // The next use begins anew after whatever ended this session, such as a restart of the gateway.
      if (!(why instanceof ApiError)) throw why;
      if (this.#client === client) this.end();
      // A request of a session that is gone has reached no server.
      if (why.status === LOST && isFormer) return await this.use(work);
      throw why;
    }
  }

  /** End the session. */
  end(): void {
    const client = this.#client;
    this.#client = undefined;
    this.asked.value = [];
    void client?.then((each) => each.close()).catch(() => undefined);
  }

  async #begin(): Promise<McpClient> {
    const path = `/${encodeURIComponent(this.server)}/mcp`;
    const client = new McpClient({
      send: (method, body, headers, ending) => api.request(method, path, body, headers, ending),
      capabilities: { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} },
      info: { name: "mcpgateway-dashboard", version: overview.value?.version ?? "0" },
      answers: {
        ping: () => ({}),
        "roots/list": () => ({ roots: this.root.value ? [{ uri: fileUri(this.root.value) }] : [] }),
        "elicitation/create": (params, ending) => this.#ask("elicitation", params, ending),
        "sampling/createMessage": (params, ending) => this.#ask("sampling", params, ending),
      },
      onFrame: (frame) => {
        this.frames.value = [...this.frames.value, frame].slice(-KEPT);
      },
    });
    try {
      await client.connect();
    } catch (why) {
      await client.close(); // a session whose beginning fails is one of the gateway's all the same
      throw why;
    }
    return client;
  }

  #ask(kind: Asked["kind"], params: Record<string, unknown>, ending: AbortSignal) {
    return new Promise<Record<string, unknown>>((resolve, reject) => {
      const id = ++this.#latest;
      const gone = () => {
        this.asked.value = this.asked.value.filter((each) => each.id !== id);
      };
      const refuse = (why: string) => {
        gone();
        reject(new McpError(REFUSED, why));
      };
      const answer = (result: Record<string, unknown>) => {
        gone();
        resolve(result);
      };
      ending.addEventListener("abort", () => refuse("The request was withdrawn"), { once: true });
      this.asked.value = [...this.asked.value, { id, kind, params, answer, refuse }];
    });
  }
}

/** Return the session of a component, which ends with it, or with the page. */
export function usePlayground(server: string): Playground {
  const session = useMemo(() => new Playground(server), [server]);
  useEffect(() => {
    const end = () => session.end();
    addEventListener("pagehide", end);
    return () => {
      removeEventListener("pagehide", end);
      end();
    };
  }, [session]);
  return session;
}

function fileUri(directory: string): string {
  return `file://${directory.split("/").map(encodeURIComponent).join("/")}`;
}
