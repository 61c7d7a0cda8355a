/** The editor around the page: it sends the page's requests, and knows the user, who needs no sign-in. */

import { type FromPanel, PanelFetch, type ToPanel } from "@mcpgateway/core/panel";
import { effect } from "@preact/signals";
import { locked } from "../act";
import { happened, isAsleep, isStreaming, poll } from "../gateway";
import { signed } from "../session";
import { surroundings } from "../surroundings";

declare function acquireVsCodeApi(): {
  postMessage: (message: FromPanel) => void;
  setState: (state: { address: string }) => void;
};

const editor = acquireVsCodeApi();

/** Send the editor a message. */
export function post(message: FromPanel): void {
  editor.postMessage(message);
}

/** Tell the editor which page is shown, also for a window that is opened again. */
export function shown(title: string, address: string): void {
  editor.setState({ address });
  post({ title, address });
}

/** Have the page at an address use the editor in the place of a browser. */
export function settle(origin: string, first: string): void {
  const requests = new PanelFetch(post);
  // No link of the page leads there: the base is for addresses of pages only.
  const base = "http://gateway.invalid";
  let present = new URL(first, base);
  Object.assign(surroundings, {
    origin,
    fetch: requests.fetch,
    address: () => present,
    move: (address: string) => {
      present = new URL(address, base);
    },
    save: (save: string, _: string, text: string) => post({ save, text }),
  });
  signed.value = { token: "", rights: "admin", id: "" };
  addEventListener("message", ({ data }: MessageEvent<ToPanel>) => {
    requests.take(data);
    if ("event" in data) happened(data.event);
    else if ("isStreaming" in data) isStreaming.value = data.isStreaming;
    else if ("isVisible" in data) {
      isAsleep.value = !data.isVisible;
      if (data.isVisible) void poll();
    }
  });
  effect(() => {
    const waiting = locked.value;
    if (!waiting) return;
    // The editor asks for the token, and the user acts again.
    post({ isLocked: true });
    locked.value = undefined;
    waiting.resume();
  });
}
