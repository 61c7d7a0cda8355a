/** The address of the page: `/ui/servers/github/logs` is the path `["servers", "github", "logs"]`. */

import { effect, signal } from "@preact/signals";
import { isUnsaved, mayLeave, release } from "./leaving";
import { surroundings } from "./surroundings";

const ROOT = "/ui/";

function parsed(): string[] {
  const { pathname } = surroundings.address();
  const rest = pathname.startsWith(ROOT) ? pathname.slice(ROOT.length) : "";
  return rest
    .split("/")
    .filter(Boolean)
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });
}

/** The parts of the present path. */
export const path = signal<string[]>(parsed());

/** Return the address of a path. */
export function to(...parts: string[]): string {
  return ROOT + parts.map(encodeURIComponent).join("/");
}

/** Show another page, after a question where something would be lost. */
export async function go(address: string, isReplacing = false): Promise<void> {
  const present = surroundings.address();
  const isElsewhere = new URL(address, present).pathname !== present.pathname;
  if (isElsewhere && isUnsaved() && !(await mayLeave())) return;
  surroundings.move(address, isReplacing);
  path.value = parsed();
  scrollTo(0, 0);
}

/** Let links of this page and the browser's buttons change the path without loading it anew. */
export function route(): void {
  let shown = location.href;
  effect(() => {
    void path.value;
    shown = location.href;
  });
  addEventListener("popstate", async () => {
    if (isUnsaved() && location.href !== shown) {
      // The browser has moved already: the present page is put back on top until the user has answered.
      history.pushState(null, "", shown);
      if (await mayLeave()) {
        release();
        history.back();
      }
      return;
    }
    const former = new URL(shown).pathname;
    path.value = parsed();
    focusMain();
    focusRow(former);
  });
  addEventListener("beforeunload", (event) => {
    if (isUnsaved()) event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    const link = (event.target as Element | null)?.closest?.("a");
    const isPlain =
      event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !isPlain || event.defaultPrevented || link.target || link.origin !== location.origin) return;
    if (!link.pathname.startsWith(ROOT) || link.hash) return;
    event.preventDefault();
    void follow(link.pathname + link.search);
  });
}

/** Show another page, and lead the keyboard to it. */
export async function follow(address: string): Promise<void> {
  await go(address);
  focusMain();
}

function focusMain(): void {
  // The focus alone would scroll the top of the page out of sight.
  document.querySelector("main")?.focus({ preventScroll: true });
}

const TRIES = 20;
const AGAIN_MS = 50;

/** Lead the keyboard back to the row whose page was left, as soon as its table is filled. */
function focusRow(pathname: string, tries = TRIES): void {
  const main = document.querySelector("main");
  if (document.activeElement !== main || !tries) return;
  const links = main?.querySelectorAll<HTMLAnchorElement>("tbody a, .list a, .needs a") ?? [];
  const link = [...links].find((each) => each.pathname === pathname);
  if (link) link.focus();
  else setTimeout(() => focusRow(pathname, tries - 1), AGAIN_MS);
}
