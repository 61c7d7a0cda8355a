/**
 * One stream of events for all tabs of a browser: the tab that holds a lock reads it, and tells the others.
 *
 * A browser opens six connections to a host, and the gateway allows twenty streams to all.
 */

import type { GatewayEvent } from "@mcpgateway/core/model";
import { follow } from "@mcpgateway/core/stream";
import { effect } from "@preact/signals";
import { api, happened, isAsleep, isStreaming } from "./gateway";
import { signed } from "./session";

const NAME = "mcpgateway-events";

/** What the tabs tell each other: a tab that comes later asks whether the stream is open. */
type Told = { event: GatewayEvent } | { isOpen: boolean } | { asks: true };

/** Follow the gateway's events while the page is awake. */
export function listen(): void {
  const channel = new BroadcastChannel(NAME);
  let isLeading = false;
  const take = (told: Told) => {
    if ("event" in told) happened(told.event);
    else if ("isOpen" in told) isStreaming.value = told.isOpen;
    else if (isLeading) channel.postMessage({ isOpen: isStreaming.value });
  };
  channel.onmessage = ({ data }: MessageEvent<Told>) => take(data);
  const tell = (told: Told) => {
    channel.postMessage(told);
    take(told);
  };
  let ending: AbortController | undefined;
  effect(() => {
    void signed.value.token; // the stream is opened anew for another session
    ending?.abort();
    if (isAsleep.value) return;
    ending = new AbortController();
    const { signal } = ending;
    channel.postMessage({ asks: true });
    lead(signal, async () => {
      isLeading = true;
      await read(signal, tell);
      isLeading = false;
    });
  });
}

function lead(signal: AbortSignal, act: () => Promise<void>): void {
  // Locks exist in secure contexts only: on this machine, and behind TLS.
  if (!navigator.locks) void act();
  else navigator.locks.request(NAME, { signal }, act).catch(() => undefined);
}

async function read(signal: AbortSignal, tell: (told: Told) => void): Promise<void> {
  await follow(api.stream("/api/v1/events"), {
    signal,
    onOpen: (isOpen) => tell({ isOpen }),
    onEvent: ({ data }) => {
      try {
        tell({ event: JSON.parse(data) as GatewayEvent });
      } catch {
        // An event of another shape says nothing to this page.
      }
    },
  });
}
