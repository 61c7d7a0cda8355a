/** The gateway's REST API: JSON over `fetch`, with the session's token in a header. */

import type { Open } from "./stream";

/** A request that the gateway refused, or that did not reach it (status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly hint = "",
  ) {
    super(message);
    this.name = "ApiError";
  }

  /** What is wrong, with the remedy. */
  get sentence(): string {
    return [this.message, this.hint].filter(Boolean).join(": ");
  }
}

/** An answer with its entity tag; `value` is undefined if it has not changed (304). */
export interface Tagged<T> {
  tag: string;
  value: T | undefined;
}

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export interface ApiOptions {
  /** The scheme, host and port; empty in a page that the gateway itself serves. */
  base?: string;
  /** The token of the next request; empty for none. */
  token: () => string;
  /** The most that an answer may take, in milliseconds. */
  limit_ms?: number;
  fetch?: typeof fetch;
}

const LIMIT_MS = 15_000;
const UNREACHABLE = "The gateway does not answer";

export class Api {
  readonly #options: ApiOptions;

  constructor(options: ApiOptions) {
    this.#options = options;
  }

  /** Ask a route. */
  async get<T>(path: string): Promise<T> {
    return (await this.#read(await this.request("GET", path))) as T;
  }

  /** Ask a route whose answer is known by its tag. */
  async getTagged<T>(path: string, tag: string): Promise<Tagged<T>> {
    const reply = await this.request("GET", path, undefined, tag ? { "If-None-Match": tag } : {});
    if (reply.status === 304) return { tag, value: undefined };
    return { tag: reply.headers.get("etag") ?? "", value: (await this.#read(reply)) as T };
  }

  /** Change something, or ask; a request that waits for a server takes longer than others. */
  async send<T>(
    method: Method,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    limit_ms?: number,
  ): Promise<T> {
    const signal = limit_ms === undefined ? undefined : AbortSignal.timeout(limit_ms);
    return (await this.#read(await this.request(method, path, body, headers, signal))) as T;
  }

  /** Return the opener of a route's stream, for `follow`. */
  stream(path: string): Open {
    return (lastId, signal) => {
      const headers = { Accept: "text/event-stream", ...(lastId && { "Last-Event-ID": lastId }) };
      return this.request("GET", path, undefined, headers, signal);
    };
  }

  /**
   * Send a request and return the answer's head, its body unread.
   *
   * @throws ApiError the gateway cannot be reached, or refuses.
   */
  async request(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    signal?: AbortSignal,
  ): Promise<Response> {
    const { base = "", token, limit_ms = LIMIT_MS } = this.#options;
    const send = this.#options.fetch ?? fetch;
    const all: Record<string, string> = { ...headers };
    if (token()) all.Authorization = `Bearer ${token()}`;
    if (body !== undefined) all["Content-Type"] = "application/json";
    let reply: Response;
    try {
      reply = await send(base + path, {
        method,
        headers: all,
        body: body === undefined ? null : JSON.stringify(body),
        // An event stream has no end, so its caller ends it.
        signal: signal ?? AbortSignal.timeout(limit_ms),
        cache: "no-store",
        // What a page ends when it is left still reaches the gateway.
        keepalive: method === "DELETE",
        credentials: "omit",
        redirect: "error",
      });
    } catch (why) {
      if (signal?.aborted && signal.reason?.name !== "TimeoutError") throw why;
      throw new ApiError(0, UNREACHABLE);
    }
    if (!reply.ok && reply.status !== 304) throw await refused(reply);
    return reply;
  }

  async #read(reply: Response): Promise<unknown> {
    try {
      const text = await reply.text();
      return text ? JSON.parse(text) : undefined;
    } catch {
      throw new ApiError(0, UNREACHABLE);
    }
  }
}

async function refused(reply: Response): Promise<ApiError> {
  let told: { error?: unknown; hint?: unknown } = {};
  let error = `The gateway answers ${reply.status}`;
  try {
    told = (await reply.json()) ?? {};
  } catch {
    // The status is told instead.
  }
  if (typeof told.error === "string") error = told.error;
  // An endpoint of MCP answers JSON-RPC errors.
  else if (isMessage(told.error)) error = told.error.message;
  return new ApiError(reply.status, error, typeof told.hint === "string" ? told.hint : "");
}

function isMessage(value: unknown): value is { message: string } {
  return typeof (value as { message?: unknown } | null | undefined)?.message === "string";
}
