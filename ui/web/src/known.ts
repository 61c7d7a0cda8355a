/** What the gateway said last, for pages that are opened while it is away. */

import { effect } from "@preact/signals";
import { freshness } from "./gateway";
import { signed } from "./session";

const MOST = 40;
const known = new Map<string, unknown>();

// Another session may see less.
effect(() => {
  void signed.value.token;
  known.clear();
});

/** Keep an answer, in the place of an earlier one to the same question. */
export function remember(question: string, answer: unknown): void {
  known.delete(question);
  known.set(question, answer);
  const [eldest] = known.keys();
  if (known.size > MOST && eldest !== undefined) known.delete(eldest);
}

/** Return the last answer while the gateway is away; it answers itself otherwise. */
export function recall<T>(question: string): T | undefined {
  return freshness.peek() === "stale" ? (known.get(question) as T | undefined) : undefined;
}
