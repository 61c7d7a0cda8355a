/** The calls that were made in this browser, which keeps the latest fifty without their secrets. */

import type { RepeatedCall } from "@mcpgateway/core/calls";
import { type PastCall, remembered } from "@mcpgateway/core/snippets";
import { signal } from "@preact/signals";

const KEY = "mcpgateway-calls";

// Storage is missing where a user forbids it; the history then lasts as long as the page.
function stored(): PastCall[] {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

export const pastCalls = signal<readonly PastCall[]>(stored());

/** The call that the playground takes over when it is opened next, and whether it makes the call then. */
export const handedOver = signal<{ call: RepeatedCall; isRun: boolean } | undefined>(undefined);

/** Keep a call. */
export function remember(call: PastCall): void {
  pastCalls.value = remembered(pastCalls.value, call);
  try {
    localStorage.setItem(KEY, JSON.stringify(pastCalls.value));
  } catch {
    // See stored().
  }
}

/** Forget all calls. */
export function forgetCalls(): void {
  pastCalls.value = [];
  try {
    localStorage.removeItem(KEY);
  } catch {
    // See stored().
  }
}
