/** The gateway as a window knows it: its overview, its servers, and whether it answers. */

import { type Api, ApiError } from "@mcpgateway/core/api";
import type { GatewayEvent, Overview, Server } from "@mcpgateway/core/model";
import { follow } from "@mcpgateway/core/stream";
import type { Failure } from "./transport";

/**
 * Whether the gateway answers: `away` if nobody listens, `silent` if nothing comes, `refused` if it wants a token, and
 * `foreign` if another program or release answers.
 */
export type Phase = "connecting" | "here" | "away" | "silent" | "refused" | "foreign";

/** What is known of the gateway. */
export interface Known {
  phase: Phase;
  overview: Overview | undefined;
  servers: readonly Server[];
  /** What it said when it refused, with the remedy. */
  refusal: string;
  isStreaming: boolean;
}

/** Before the first question. */
export const UNKNOWN: Known = {
  phase: "connecting",
  overview: undefined,
  servers: [],
  refusal: "",
  isStreaming: false,
};

export interface WatchOptions {
  api: Api;
  failure: () => Failure;
  /** The time between two polls without a stream of events, in milliseconds. */
  pollMs: () => number;
  changed: (known: Known) => void;
  happened?: (event: GatewayEvent) => void;
}

const STREAMED_MS = 10_000; // events tell of changes in between
const AWAY_MS = 2000;
const UNFOCUSED_MS = 30_000;
const SOON_MS = 250; // a burst of events is one question
const MISSES = 3;
/** A window that was left so long gives its stream to others: the gateway has twenty. */
const LEFT_MS = 300_000;

export class Watch {
  readonly #options: WatchOptions;
  #known = UNKNOWN;
  #tag = "";
  #misses = 0;
  /** When the gateway has begun, in milliseconds since the epoch. */
  #since = 0;
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  #leaving: NodeJS.Timeout | undefined;
  #stream: AbortController | undefined;
  #isFocused = true;
  #hasEnded = false;
  #polling: Promise<void> | undefined;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  get known(): Known {
    return this.#known;
  }

  /** Begin to watch. */
  start(): void {
    void this.poll();
  }

  /** Watch no more. */
  end(): void {
    this.#hasEnded = true;
    for (const each of [this.#timer, this.#soon, this.#leaving]) clearTimeout(each);
    this.#stream?.abort();
  }

  /** Take note of whether the user looks at the window: others ask less often, and have no stream after a while. */
  focus(isFocused: boolean): void {
    this.#isFocused = isFocused;
    clearTimeout(this.#leaving);
    if (isFocused) void this.poll();
    else this.#leaving = setTimeout(() => this.#close(), LEFT_MS);
  }

  /** Ask the gateway now, and again in a while; a question under way is shared. */
  poll(): Promise<void> {
    this.#polling ??= this.#ask().finally(() => {
      this.#polling = undefined;
      this.#schedule();
    });
    return this.#polling;
  }

  async #ask(): Promise<void> {
    const { api } = this.#options;
    clearTimeout(this.#timer);
    try {
      const found = await api.getTagged<Overview>("/api/v1/overview", this.#tag);
      let { overview, servers } = this.#known;
      if (found.value) {
        overview = found.value;
        servers = await api.get<Server[]>("/api/v1/servers?tools=false");
        this.#tag = found.tag;
        this.#since = Date.now() - overview.uptime_seconds * 1000;
      } else if (overview) {
        // An answer that has not changed does not say how much time has passed.
        overview = { ...overview, uptime_seconds: (Date.now() - this.#since) / 1000 };
      }
      this.#misses = 0;
      this.#tell({ phase: "here", overview, servers, refusal: "" });
      this.#open();
    } catch (why) {
      this.#missed(why instanceof ApiError ? why : new ApiError(0, String(why)));
    }
  }

  #missed({ status, message, sentence }: ApiError): void {
    this.#tag = "";
    if (status === 401 || status === 403) {
      this.#tell({ phase: "refused", refusal: sentence, overview: undefined });
    } else if (status === 404 || status === 405) {
      const refusal = "Another program, or an older release, answers there";
      this.#tell({ phase: "foreign", refusal, overview: undefined });
    } else if (status) {
      // A gateway that is busy answers 503, and is here.
      this.#tell({ refusal: message });
    } else if (this.#options.failure() === "away") {
      this.#tell({ phase: "away", overview: undefined, servers: [] });
      this.#close();
    } else if (++this.#misses >= MISSES) this.#tell({ phase: "silent" });
  }

  #tell(news: Partial<Known>): void {
    if (this.#hasEnded) return;
    this.#known = { ...this.#known, ...news };
    this.#options.changed(this.#known);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#hasEnded) return;
    const { phase, isStreaming } = this.#known;
    const watched = phase === "here" && isStreaming ? STREAMED_MS : this.#options.pollMs();
    const usual = phase === "away" ? Math.min(AWAY_MS, watched) : watched;
    this.#timer = setTimeout(() => void this.poll(), this.#isFocused ? usual : UNFOCUSED_MS);
  }

  #open(): void {
    if (this.#stream || this.#hasEnded || !this.#isFocused) return;
    const stream = new AbortController();
    this.#stream = stream;
    const { api, happened } = this.#options;
    void follow(api.stream("/api/v1/events"), {
      signal: stream.signal,
      onOpen: (isStreaming) => {
        if (stream.signal.aborted) return;
        this.#tell({ isStreaming });
        // A stream that ends may be the gateway that ends.
        this.#look();
      },
      onEvent: ({ data }) => {
        this.#look();
        try {
          happened?.(JSON.parse(data) as GatewayEvent);
        } catch {
          // An event of another shape says nothing here.
        }
      },
    });
  }

  #close(): void {
    if (!this.#stream) return;
    this.#stream.abort();
    this.#stream = undefined;
    this.#tell({ isStreaming: false });
  }

  #look(): void {
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => void this.poll(), SOON_MS);
  }
}
