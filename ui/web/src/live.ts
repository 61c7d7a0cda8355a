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

type Told = { event: GatewayEvent } | { isOpen: boolean };

/** Follow the gateway's events while the page is awake. */
export function listen(): void {
  const channel = new BroadcastChannel(NAME);
  channel.onmessage = ({ data }: MessageEvent<Told>) => {
    if ("event" in data) happened(data.event);
    else isStreaming.value = data.isOpen;
  };
  const tell = (told: Told) => {
    channel.postMessage(told);
    if ("event" in told) happened(told.event);
    else isStreaming.value = told.isOpen;
  };
  let ending: AbortController | undefined;
  effect(() => {
    void signed.value.token; // the stream is opened anew for another session
    ending?.abort();
    if (isAsleep.value) return;
    ending = new AbortController();
    const { signal } = ending;
    lead(signal, () => read(signal, tell));
  });
}

function lead(signal: AbortSignal, act: () => Promise<void>): void {
  // Locks exist in secure contexts only: on this machine, and behind TLS.
  if (!navigator.locks) void act();
  else navigator.locks.request(NAME, { signal }, act).catch(() => undefined);
}

async function read(signal: AbortSignal, tell: (told: Told) => void): Promise<void> {
  await follow(
    (lastId, ending) =>
      api.request(
        "GET",
        "/api/v1/events",
        undefined,
        { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) },
        ending,
      ),
    {
      signal,
      onOpen: (isOpen) => tell({ isOpen }),
      onEvent: ({ data }) => {
        try {
          tell({ event: JSON.parse(data) as GatewayEvent });
        } catch {
          // An event of another shape says nothing to this page.
        }
      },
    },
  );
}
