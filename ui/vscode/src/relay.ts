/** The editor's half of a panel's requests: sent to the gateway, and to no other place. */

import type { FromPanel, ToPanel } from "@mcpgateway/core/panel";

/** The gateway as a request needs it. */
export interface Gate {
  base: string;
  token: string;
  fetch: typeof fetch;
}

type Request = Extract<FromPanel, { id: number }>;

/** The most requests of a page under way; a page has a stream or two, and what it shows. */
const MOST = 64;
const METHODS = new Set(["GET", "POST", "PUT", "PATCH", "DELETE"]);

export class Relay {
  readonly #gate: () => Gate;
  readonly #post: (message: ToPanel) => void;
  readonly #sent = new Map<number, AbortController>();

  constructor(gate: () => Gate, post: (message: ToPanel) => void) {
    this.#gate = gate;
    this.#post = post;
  }

  /** Send a request, and its answer to the page piece by piece. */
  async send({ id, method, path, headers, body }: Request): Promise<void> {
    const fault = this.#faultOf(method, path);
    if (fault) {
      this.#post({ id, fault });
      return;
    }
    const ending = new AbortController();
    this.#sent.set(id, ending);
    try {
      const { base, token, fetch } = this.#gate();
      const all = token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
      const reply = await fetch(base + path, { method, headers: all, body, signal: ending.signal });
      this.#post({ id, status: reply.status, headers: [...reply.headers] });
      const reader = reply.body?.pipeThrough(new TextDecoderStream()).getReader();
      for (let each = await reader?.read(); each && !each.done; each = await reader?.read())
        if (each.value) this.#post({ id, piece: each.value });
      this.#post({ id, piece: "" });
    } catch (why) {
      this.#post({ id, fault: why instanceof Error ? why.message : String(why) });
    } finally {
      this.#sent.delete(id);
    }
  }

  #faultOf(method: string, path: string): string {
    if (this.#sent.size >= MOST) return `the page has ${MOST} requests under way`;
    return METHODS.has(method) && path.startsWith("/")
      ? ""
      : `${method} ${path} is no request to the gateway`;
  }

  /** Withdraw a request, or all of them. */
  end(id?: number): void {
    const ended = id === undefined ? [...this.#sent.values()] : [this.#sent.get(id)];
    for (const each of ended) each?.abort();
  }
}
