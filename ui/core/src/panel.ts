/** A page within an editor: its requests as messages, since it has neither the network nor a token. */

import type { GatewayEvent } from "./model";

/** A message of the page to the editor. */
export type FromPanel =
  | { id: number; method: string; path: string; headers: Record<string, string>; body: string | null }
  /** The page waits for the answer to a request no more. */
  | { ended: number }
  /** Another page of the dashboard, which is no page of the editor. */
  | { open: string }
  | { title: string; address: string }
  | { save: string; text: string }
  /** The gateway wants a sign-in. */
  | { isLocked: true };

/** A message of the editor to the page: parts of the answer to a request, or what happens at the gateway. */
export type ToPanel =
  | { id: number; status: number; headers: [name: string, value: string][] }
  | { id: number; piece: string }
  | { id: number; fault: string }
  | { event: GatewayEvent }
  | { isStreaming: boolean }
  | { isVisible: boolean };

const EMPTY = new Set([204, 205, 304]);

interface Waiting {
  answered: (reply: Response) => void;
  failed: (why: Error) => void;
  body?: ReadableStreamDefaultController<Uint8Array>;
}

/** `fetch` by messages: the page's half. */
export class PanelFetch {
  readonly #post: (message: FromPanel) => void;
  readonly #waiting = new Map<number, Waiting>();
  readonly #encoder = new TextEncoder();
  #latest = 0;

  constructor(post: (message: FromPanel) => void) {
    this.#post = post;
  }

  /** Send a request for a path, with a body of text. */
  readonly fetch = (input: unknown, init: RequestInit = {}): Promise<Response> => {
    const { method = "GET", headers, body, signal } = init;
    signal?.throwIfAborted();
    const id = ++this.#latest;
    return new Promise((answered, failed) => {
      this.#waiting.set(id, { answered, failed });
      signal?.addEventListener("abort", () => this.#end(id, signal.reason), { once: true });
      this.#post({
        id,
        method,
        path: String(input),
        headers: (headers ?? {}) as Record<string, string>,
        body: typeof body === "string" ? body : null,
      });
    });
  };

  /** Take a part of an answer; a message about something else is left. */
  take(message: ToPanel): void {
    const waiting = "id" in message && this.#waiting.get(message.id);
    if (!waiting) return;
    if ("status" in message) waiting.answered(this.#replyOf(message, waiting));
    else if ("fault" in message) {
      this.#waiting.delete(message.id);
      fail(waiting, new Error(message.fault));
    } else if (message.piece) waiting.body?.enqueue(this.#encoder.encode(message.piece));
    else {
      // An empty piece is the end.
      this.#waiting.delete(message.id);
      waiting.body?.close();
    }
  }

  #replyOf({ id, status, headers }: Extract<ToPanel, { status: number }>, waiting: Waiting): Response {
    if (EMPTY.has(status)) return new Response(null, { status, headers });
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        waiting.body = controller;
      },
      cancel: () => this.#end(id, new Error("the answer is not read to its end")),
    });
    return new Response(body, { status, headers });
  }

  #end(id: number, why: unknown): void {
    const waiting = this.#waiting.get(id);
    if (!waiting || !this.#waiting.delete(id)) return;
    this.#post({ ended: id });
    fail(waiting, why as Error);
  }
}

function fail({ failed, body }: Waiting, why: Error): void {
  failed(why);
  try {
    body?.error(why);
  } catch {
    // It was cancelled.
  }
}
