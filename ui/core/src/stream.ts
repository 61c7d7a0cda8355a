/** Server-sent events (WHATWG HTML 9.2) over `fetch`, which, unlike EventSource, sends a token. */

/** One event of a stream. */
export interface StreamEvent {
  id: string;
  event: string;
  data: string;
}

/** Takes a stream apart, in pieces of any size. */
export class EventParser {
  #rest = "";
  #id = "";
  #event = "";
  #data: string[] = [];
  #endsInReturn = false;

  /** The id of the latest event: where the stream continues after an interruption. */
  lastId = "";

  /** Return the events that a piece completes. */
  push(piece: string): StreamEvent[] {
    const found: StreamEvent[] = [];
    // A line ends with CR LF, LF or CR; a LF at the beginning of a piece may belong to the CR before it.
    let text = this.#endsInReturn && piece.startsWith("\n") ? piece.slice(1) : piece;
    if (piece) this.#endsInReturn = piece.endsWith("\r");
    text = this.#rest + text;
    const lines = text.split(/\r\n|\n|\r/);
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const event = this.#take(line);
      if (event) found.push(event);
    }
    return found;
  }

  #take(line: string): StreamEvent | undefined {
    if (line === "") return this.#complete();
    const colon = line.indexOf(":");
    if (colon === 0) return undefined; // a comment, which keeps the connection alive
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    return undefined;
  }

  #complete(): StreamEvent | undefined {
    this.lastId = this.#id;
    const event = { id: this.#id, event: this.#event || "message", data: this.#data.join("\n") };
    const isEmpty = this.#data.length === 0;
    this.#event = "";
    this.#data = [];
    return isEmpty ? undefined : event;
  }
}

/** Opens a stream after the event of an id; empty for from now on. */
export type Open = (lastId: string, signal: AbortSignal) => Promise<Response>;

export interface FollowOptions {
  /** Called with each event. */
  onEvent: (event: StreamEvent) => void;
  /** Called when the stream is open (true), and when it breaks (false). */
  onOpen?: (isOpen: boolean) => void;
  /** Ends the stream. */
  signal: AbortSignal;
  /** Waits between two attempts, in milliseconds. */
  wait?: (ms: number, signal: AbortSignal) => Promise<void>;
}

const SHORTEST_MS = 1000;
const LONGEST_MS = 8000;

/** Follow a stream until it is ended, and open it again whenever it breaks: after 1, 2, 4, then 8 seconds. */
export async function follow(open: Open, options: FollowOptions): Promise<void> {
  const { onEvent, onOpen = () => undefined, signal, wait = pause } = options;
  let lastId = "";
  let delay = SHORTEST_MS;
  while (!signal.aborted) {
    try {
      const reply = await open(lastId, signal);
      const reader = reply.body?.pipeThrough(new TextDecoderStream()).getReader();
      if (!reader) return;
      onOpen(true);
      delay = SHORTEST_MS;
      const parser = new EventParser();
      parser.lastId = lastId;
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
        for (const event of parser.push(piece.value)) onEvent(event);
        lastId = parser.lastId || lastId;
      }
    } catch {
      // What broke it is shown by the polls.
    }
    if (signal.aborted) return;
    onOpen(false);
    await wait(delay, signal);
    delay = Math.min(delay * 2, LONGEST_MS);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
