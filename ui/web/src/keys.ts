/** Keys: Ctrl K opens the palette, `?` lists the keys, `/` filters, `j` and `k` step, `g` and a letter opens a page. */

import { signal } from "@preact/signals";
import { dismiss } from "./act";
import { go, to } from "./router";

/** The pages by the letter after `g`. */
export const LETTERS: Readonly<Record<string, { page: string; title: string }>> = {
  o: { page: "", title: "Overview" },
  s: { page: "servers", title: "Servers" },
  t: { page: "tools", title: "Tools" },
  l: { page: "calls", title: "Calls" },
  c: { page: "clients", title: "Clients" },
  u: { page: "usage", title: "Usage" },
  p: { page: "access", title: "Access" },
  n: { page: "nodes", title: "Nodes" },
  w: { page: "gateway", title: "Gateway" },
  a: { page: "add", title: "Add a server" },
};
const AFTER_MS = 1500;
const KEY = "mcpgateway-keys";
const OFF = "off";

/** The dialog over the page that keys and buttons open. */
export const opened = signal<"palette" | "keys" | undefined>(undefined);
/** What a key does to the row with the focus, told by its id: as the page that is shown has it. */
export const rowKeys = signal<((key: string, id: string) => void) | undefined>(undefined);

/** Close a dialog over the page, unless another one was opened meanwhile. */
export function close(which: "palette" | "keys"): void {
  if (opened.value === which) opened.value = undefined;
}

/** Whether keys of one character act, where nothing is typed (WCAG 2.1.4). */
export const isSingleOn = signal(stored());

/** The palette's keys, by the name that they have on this machine. */
export const PALETTE_KEYS = /Mac|iP/.test(navigator.platform) ? "⌘ K" : "Ctrl K";

function stored(): boolean {
  try {
    return localStorage.getItem(KEY) !== OFF;
  } catch {
    return true; // a user may forbid storage
  }
}

/** Switch the keys of one character on or off, for this browser. */
export function switchSingle(isOn: boolean): void {
  isSingleOn.value = isOn;
  try {
    if (isOn) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, OFF);
  } catch {
    // The choice lasts as long as the page.
  }
}

/** Listen to the keys. */
export function listenToKeys(): void {
  let pressedAt = Number.NEGATIVE_INFINITY;
  document.addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    if (event.altKey || event.defaultPrevented) return;
    const hasDialog = document.querySelector("dialog[open]") !== null;
    if (event.key === "Escape" && !hasDialog) dismiss();
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "k") {
      if (hasDialog && opened.value !== "palette") return;
      event.preventDefault(); // browsers search with it
      opened.value = hasDialog ? undefined : "palette";
      return;
    }
    if (event.ctrlKey || event.metaKey || hasDialog || !isSingleOn.value) return;
    const isTyped = target.matches("input:not([type=checkbox]), textarea, select");
    if (target.isContentEditable || isTyped) return;
    const found = LETTERS[event.key];
    if (event.key === "/") {
      event.preventDefault();
      document.querySelector<HTMLElement>(".filter")?.focus();
    } else if (event.key === "?") {
      opened.value = "keys";
    } else if (event.key === "j" || event.key === "k") {
      step(event.key === "j" ? 1 : -1);
    } else if (event.key === "Backspace") {
      history.back();
    } else if (event.key === "g") {
      pressedAt = event.timeStamp;
    } else if (found && event.timeStamp - pressedAt < AFTER_MS) {
      pressedAt = Number.NEGATIVE_INFINITY;
      void go(found.page ? to(found.page) : to());
    } else {
      const id = target.closest<HTMLElement>("tr[data-id]")?.dataset.id;
      if (id !== undefined) rowKeys.value?.(event.key, id);
    }
  });
}

const ROWS = "tbody th a, .list li > a:first-child, .needs strong a";

/** Lead the focus to the next row's link, or to that of the row before: within the table that has it, if any. */
function step(by: number): void {
  const place = document.activeElement?.closest(".rows, .list, .needs") ?? document.querySelector("main");
  const links = [...(place?.querySelectorAll<HTMLElement>(ROWS) ?? [])];
  const at = links.findIndex((each) => each.closest("tr, li")?.contains(document.activeElement));
  links[Math.min(Math.max(at + by, 0), links.length - 1)]?.focus();
}
