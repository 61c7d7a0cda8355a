/** An MCP client over Streamable HTTP: a session of its own, whose server may ask back while a call is under way. */

import { isObject } from "./form";
import { EventParser } from "./stream";

export const PROTOCOL = "2025-11-25";
const UNKNOWN_METHOD = -32601;
const INTERNAL = -32603;
const TASK_KEPT_MS = 3_600_000;
const TASK_LOOK_MS = 1000;

type Id = number | string;

/** A JSON-RPC message. */
export interface Message {
  jsonrpc: "2.0";
  id?: Id;
  method?: string;
  params?: Record<string, unknown>;
  result?: Record<string, unknown>;
  error?: { code: number; message: string; data?: unknown };
}

/** An error that a server, or the gateway, answers. */
export class McpError extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
    this.name = "McpError";
  }
}

/** A message as it was sent or received. */
export interface McpFrame {
  isSent: boolean;
  /** Milliseconds since the epoch. */
  at: number;
  message: Message;
}

/** Progress of a call; the total is undefined where the server does not know it. */
export interface Progress {
  progress: number;
  total?: number;
  message?: string;
}

/** Answers a request of the server; a rejection is an error for it. */
export type Answer = (
  params: Record<string, unknown>,
  signal: AbortSignal,
) => Promise<Record<string, unknown>> | Record<string, unknown>;

export interface McpOptions {
  /** Send a request to the endpoint; the credentials are the caller's. */
  send: (
    method: string,
    body: unknown,
    headers: Record<string, string>,
    signal: AbortSignal,
  ) => Promise<Response>;
  capabilities: Record<string, unknown>;
  info: { name: string; version: string };
  /** The answers to the server's requests, by method. */
  answers: Record<string, Answer>;
  onFrame?: (frame: McpFrame) => void;
}

export interface CallOptions {
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
}

/** A task of a server (MCP 2025-11-25): a request whose result is asked for later. */
interface Task {
  taskId: string;
  status: string;
  statusMessage?: string;
  /** Milliseconds between two looks at it. */
  pollInterval?: number;
}

interface Waiting {
  resolve: (result: Record<string, unknown>) => void;
  reject: (why: Error) => void;
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** A session with one endpoint. */
export class McpClient {
  readonly #options: McpOptions;
  readonly #ending = new AbortController();
  readonly #waiting = new Map<Id, Waiting>();
  readonly #asked = new Map<Id, AbortController>();
  #session = "";
  #version = "";
  #latest = 0;

  /** The server's name, capabilities and instructions, from the handshake. */
  server: Record<string, unknown> = {};

  constructor(options: McpOptions) {
    this.#options = options;
  }

  /** Begin the session. */
  async connect(): Promise<void> {
    const { capabilities, info } = this.#options;
    this.server = await this.request("initialize", {
      protocolVersion: PROTOCOL,
      capabilities,
      clientInfo: info,
    });
    this.#version = String(this.server.protocolVersion ?? PROTOCOL);
    await this.notify("notifications/initialized");
    void this.#listen();
  }

  /**
   * Ask the server.
   *
   * @throws McpError the server refuses.
   */
  async request(
    method: string,
    params: Record<string, unknown> = {},
    { signal, onProgress }: CallOptions = {},
  ): Promise<Record<string, unknown>> {
    signal?.throwIfAborted();
    const id = ++this.#latest;
    const sent = onProgress ? { ...params, _meta: { progressToken: id } } : params;
    const cancel = () => {
      const reason = "the user has cancelled it";
      this.#waiting.get(id)?.reject(new DOMException(reason, "AbortError"));
      this.#waiting.delete(id);
      void this.notify("notifications/cancelled", { requestId: id, reason }).catch(() => undefined);
    };
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting.set(id, { resolve, reject, onProgress });
        this.#post({ jsonrpc: "2.0", id, method, params: sent })
          // A stream that ends without the answer is a broken connection.
          .then(() => reject(new McpError(INTERNAL, "The connection ended before the answer")), reject);
      });
    } finally {
      signal?.removeEventListener("abort", cancel);
      this.#waiting.delete(id);
    }
  }

  /**
   * Call a tool that runs as a task, and look at the task until it ends or asks something.
   *
   * @throws McpError the server refuses, or the task has failed.
   */
  async callAsTask(
    params: Record<string, unknown>,
    { signal, onProgress }: CallOptions = {},
  ): Promise<Record<string, unknown>> {
    const options = signal ? { signal } : {};
    const made = await this.request("tools/call", { ...params, task: { ttl: TASK_KEPT_MS } }, options);
    if (!made.task) return made;
    let task = made.task as Task;
    const { taskId } = task;
    const cancel = () => void this.request("tasks/cancel", { taskId }).catch(() => undefined);
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      for (let looks = 1; task.status === "working"; looks++) {
        onProgress?.({ progress: looks, message: task.statusMessage ?? "" });
        await new Promise((resume) => setTimeout(resume, task.pollInterval ?? TASK_LOOK_MS));
        task = (await this.request("tasks/get", { taskId }, options)) as unknown as Task;
      }
      // The answer is that of the call, and comes after what the task asks meanwhile.
      return await this.request("tasks/result", { taskId }, options);
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  /** Tell the server something. */
  async notify(method: string, params: Record<string, unknown> = {}): Promise<void> {
    await this.#post({ jsonrpc: "2.0", method, params });
  }

  /** Ask for a whole list, page by page. */
  async list<T>(method: string, member: string): Promise<T[]> {
    const found: T[] = [];
    let cursor: unknown;
    do {
      const page = await this.request(method, cursor === undefined ? {} : { cursor });
      found.push(...((page[member] as T[] | undefined) ?? []));
      cursor = page.nextCursor;
    } while (typeof cursor === "string" && found.length < 10_000);
    return found;
  }

  /**
   * Ask for values of an argument of a prompt or of a variable of a template.
   *
   * @param ref `{type: "ref/prompt", name}` or `{type: "ref/resource", uri}`.
   * @param others the values of the other arguments.
   */
  async complete(
    ref: Record<string, unknown>,
    argument: { name: string; value: string },
    others: Record<string, string>,
  ): Promise<string[]> {
    if (!isObject(this.server.capabilities) || !("completions" in this.server.capabilities)) return [];
    const { completion } = await this.request("completion/complete", {
      ref,
      argument,
      context: { arguments: others },
    });
    const values = isObject(completion) ? completion.values : undefined;
    return Array.isArray(values) ? values.filter((each): each is string => typeof each === "string") : [];
  }

  /** End the session. */
  async close(): Promise<void> {
    if (this.#ending.signal.aborted) return;
    this.#ending.abort();
    for (const each of this.#asked.values()) each.abort();
    if (!this.#session) return;
    try {
      await this.#options.send("DELETE", undefined, this.#headers(), new AbortController().signal);
    } catch {
      // The gateway ends a session that is not used any more.
    }
  }

  #headers(): Record<string, string> {
    const made: Record<string, string> = { Accept: "application/json, text/event-stream" };
    if (this.#session) made["Mcp-Session-Id"] = this.#session;
    if (this.#version) made["MCP-Protocol-Version"] = this.#version;
    return made;
  }

  async #post(message: Message): Promise<void> {
    this.#frame(true, message);
    const reply = await this.#options.send("POST", message, this.#headers(), this.#ending.signal);
    this.#session ||= reply.headers.get("mcp-session-id") ?? "";
    const type = reply.headers.get("content-type") ?? "";
    if (type.startsWith("text/event-stream")) await this.#read(reply);
    else if (type.startsWith("application/json"))
      for (const each of messages(await reply.text())) this.#take(each);
    else await reply.body?.cancel();
  }

  /** Hear what belongs to no call; a server without such a stream answers 405. */
  async #listen(): Promise<void> {
    try {
      const headers = { ...this.#headers(), Accept: "text/event-stream" };
      await this.#read(await this.#options.send("GET", undefined, headers, this.#ending.signal));
    } catch {
      // The calls' own streams are enough.
    }
  }

  async #read(reply: Response): Promise<void> {
    const reader = reply.body?.pipeThrough(new TextDecoderStream()).getReader();
    if (!reader) return;
    const parser = new EventParser();
    for (let piece = await reader.read(); !piece.done; piece = await reader.read())
      for (const { data } of parser.push(piece.value)) for (const each of messages(data)) this.#take(each);
  }

  #take(message: Message): void {
    this.#frame(false, message);
    if (message.method === undefined) this.#answered(message);
    else if (message.id !== undefined) void this.#ask(message.id, message.method, message.params ?? {});
    else this.#told(message.method, message.params ?? {});
  }

  #answered({ id = "", result, error }: Message): void {
    const waiting = this.#waiting.get(id);
    if (error) waiting?.reject(new McpError(error.code, error.message));
    else waiting?.resolve(result ?? {});
  }

  #told(method: string, params: Record<string, unknown>): void {
    if (method === "notifications/progress")
      this.#waiting.get(params.progressToken as Id)?.onProgress?.(params as unknown as Progress);
    else if (method === "notifications/cancelled") this.#asked.get(params.requestId as Id)?.abort();
  }

  async #ask(id: Id, method: string, params: Record<string, unknown>): Promise<void> {
    const answer = this.#options.answers[method];
    const ending = new AbortController();
    this.#asked.set(id, ending);
    let reply: Message;
    try {
      if (!answer) throw new McpError(UNKNOWN_METHOD, `This client does not answer ${method}`);
      reply = { jsonrpc: "2.0", id, result: await answer(params, ending.signal) };
    } catch (why) {
      const code = why instanceof McpError ? why.code : INTERNAL;
      reply = {
        jsonrpc: "2.0",
        id,
        error: { code, message: why instanceof Error ? why.message : String(why) },
      };
    }
    this.#asked.delete(id);
    // Nobody waits for the answer to a request that was withdrawn.
    if (!ending.signal.aborted) await this.#post(reply).catch(() => undefined);
  }

  #frame(isSent: boolean, message: Message): void {
    this.#options.onFrame?.({ isSent, at: Date.now(), message });
  }
}

function messages(text: string): Message[] {
  try {
    const found = JSON.parse(text);
    return Array.isArray(found) ? found : [found];
  } catch {
    return [];
  }
}
