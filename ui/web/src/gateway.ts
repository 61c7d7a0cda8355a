/** The gateway as this page knows it: its overview, whether that is fresh, and what has just happened. */

import { Api, ApiError } from "@mcpgateway/core/api";
import type { GatewayEvent, Overview } from "@mcpgateway/core/model";
import { computed, effect, signal } from "@preact/signals";
import { forget, signed } from "./session";
import { surroundings } from "./surroundings";

export const api = new Api({
  token: () => signed.value.token,
  fetch: (input, init) => surroundings.fetch(input, init),
});

/** The latest overview; undefined before the first. */
export const overview = signal<Overview | undefined>(undefined);
/** When the gateway answered last, in milliseconds of the browser's clock; 0 for never. */
export const heardAt = signal(0);
/** What the gateway said when it refused the overview. */
export const refusal = signal<ApiError | undefined>(undefined);
/** The time, which steps every second while the page is visible. */
export const now = signal(Date.now());
/** Whether the stream of events is open. */
export const isStreaming = signal(false);
/** The latest events, newest first. */
export const events = signal<GatewayEvent[]>([]);
/** Counts up with every event that may change what pages show; pages load again when it does. */
export const changes = signal(0);

const STALE_MS = 20_000; // longer than between two polls of a page without the focus
const KEPT = 200;
const WATCHED_MS = 5000;
const STREAMED_MS = 10_000; // events tell of changes in between
const UNFOCUSED_MS = 15_000;
const RETRY_MS = 2000;
const HIDDEN_MS = 60_000;
// A gateway that hangs is noticed within five seconds.
const BEAT_MS = 2000;
const BEAT_LIMIT_MS = 2500;
/** The version of the gateway when this page was opened. */
let firstVersion = "";

/** How fresh the figures are. */
export const freshness = computed<"connecting" | "live" | "stale">(() => {
  if (!heardAt.value) return "connecting";
  return isLost.value || now.value - heardAt.value > STALE_MS ? "stale" : "live";
});

const isLost = signal(false);
/** Counts up when the gateway answers again after it did not: questions without an answer are asked again. */
export const returns = signal(0);

/** Take note that the gateway did not answer a question, and look for its return. */
export function missed(): void {
  isLost.value = true;
  schedule();
}

/** Whether the gateway was upgraded since this page was opened. */
export const isUpgraded = computed(() => {
  const version = overview.value?.version ?? "";
  firstVersion ||= version;
  return version !== firstVersion;
});

let tag = "";
let timer: ReturnType<typeof setTimeout> | undefined;

/** Ask the gateway now, and again in a while. */
export async function poll(): Promise<void> {
  clearTimeout(timer);
  try {
    const found = await api.getTagged<Overview>("/api/v1/overview", tag);
    tag = found.tag;
    if (found.value) overview.value = found.value;
    heardAt.value = Date.now();
    came();
    refusal.value = undefined;
  } catch (why) {
    if (why instanceof ApiError && why.status) {
      heardAt.value = Date.now();
      came();
      if (why.status === 401 && signed.value.token) forget(signed.value.id);
      else refusal.value = why;
    } else {
      isLost.value = true;
    }
  }
  schedule();
}

let isBeating = false;
let beatAt = 0;

/** Ask for a sign of life, which costs the gateway next to nothing: one that hangs ends no stream. */
async function beat(): Promise<void> {
  const at = Date.now();
  if (isBeating || isLost.value || !heardAt.value || at - beatAt < BEAT_MS) return;
  isBeating = true;
  beatAt = at;
  try {
    const limit = AbortSignal.timeout(BEAT_LIMIT_MS);
    await (await api.request("GET", "/healthz", undefined, {}, limit)).body?.cancel();
  } catch (why) {
    if (why instanceof ApiError && !why.status) missed();
  } finally {
    isBeating = false;
  }
}

function came(): void {
  if (!isLost.value) return;
  isLost.value = false;
  returns.value++;
}

function watchedMs(): number {
  return isStreaming.value ? STREAMED_MS : WATCHED_MS;
}

function schedule(): void {
  clearTimeout(timer);
  if (isAsleep.value) return;
  const delay = isLost.value ? RETRY_MS : document.hasFocus() ? watchedMs() : UNFOCUSED_MS;
  timer = setTimeout(poll, delay);
}

/** Whether the page was hidden so long that it asks nothing. */
export const isAsleep = signal(false);
let sleepTimer: ReturnType<typeof setTimeout> | undefined;

function looked(): void {
  clearTimeout(sleepTimer);
  if (document.visibilityState === "visible") {
    const wasAsleep = isAsleep.value;
    isAsleep.value = false;
    now.value = Date.now();
    if (wasAsleep || now.value - heardAt.value > WATCHED_MS) void poll();
  } else {
    sleepTimer = setTimeout(() => {
      isAsleep.value = true;
      clearTimeout(timer);
    }, HIDDEN_MS);
  }
}

/** Take an event of the gateway into account. */
export function happened(event: GatewayEvent): void {
  events.value = [event, ...events.value].slice(0, KEPT);
  changes.value++;
}

/** Begin to watch the gateway. */
export function watch(): void {
  document.addEventListener("visibilitychange", looked);
  addEventListener("focus", looked);
  setInterval(() => {
    if (document.visibilityState !== "visible") return;
    now.value = Date.now();
    void beat();
  }, 1000);
  // Another session may see more or less.
  let token = signed.value.token;
  effect(() => {
    if (signed.value.token === token) return;
    token = signed.value.token;
    tag = "";
    void poll();
  });
  // A stream that ends may be the gateway that ends.
  let wasStreaming = false;
  effect(() => {
    if (wasStreaming && !isStreaming.value) void poll();
    wasStreaming = isStreaming.value;
  });
  // What has changed is asked for a moment later, so that a burst of events is one question.
  let soon: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    if (!changes.value) return;
    clearTimeout(soon);
    soon = setTimeout(poll, 250);
  });
  void poll();
}
