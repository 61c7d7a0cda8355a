/** What the user does: one request at a time per control, with its outcome told in the status line. */

import { ApiError, type Method } from "@mcpgateway/core/api";
import { signal } from "@preact/signals";
import { api, changes, poll } from "./gateway";
import { may, type Rights, signed } from "./session";

export interface Notice {
  text: string;
  isError: boolean;
}

/** The outcome of the latest act, which screen readers are told too. */
export const notice = signal<Notice | undefined>(undefined);
const SHOWN_MS = 10_000;
let fading: ReturnType<typeof setTimeout> | undefined;

/** Tell the outcome of an act for a while; an error stays until the next act. */
export function tell(told: Notice): void {
  clearTimeout(fading);
  notice.value = told;
  if (!told.isError) {
    fading = setTimeout(() => {
      notice.value = undefined;
    }, SHOWN_MS);
  }
}

/** The requests under way, by their labels. */
export const busy = signal<ReadonlySet<string>>(new Set());
/** An act that waits for the user to unlock the dashboard. */
export const locked = signal<{ rights: Rights; resume: () => void } | undefined>(undefined);

export interface Act {
  /** The sentence of the outcome, such as `github is restarted`, which may depend on the answer; empty for none. */
  done: string | ((answer: unknown) => string | Notice);
  /** `GET` to look at something that takes rights. */
  method: Method;
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
  /** The most that it may take, in milliseconds. */
  limit_ms?: number;
  /** The rights that it takes. */
  rights?: Rights;
  /** Return the sentence for a refusal that the caller deals with; undefined for others. */
  refused?: (why: ApiError) => string | undefined;
}

/** Do something, after unlocking where that is needed; return the answer, or undefined if it was refused. */
export async function act<T = unknown>(wanted: Act, isAgain = false): Promise<T | undefined> {
  const { done, method, path, body, rights = "operate", headers, limit_ms } = wanted;
  const key = `${method} ${path}`;
  if (!may(rights) && !(await unlocked(rights))) return undefined;
  if (busy.value.has(key)) return undefined;
  busy.value = new Set([...busy.value, key]);
  let error: ApiError;
  try {
    const found = await api.send<T>(method, path, body, headers, limit_ms);
    const told = typeof done === "string" ? done : done(found ?? {});
    if (told) tell(typeof told === "string" ? { text: told, isError: false } : told);
    if (method !== "GET") changes.value++;
    return found ?? ({} as T);
  } catch (why) {
    error = why instanceof ApiError ? why : new ApiError(0, String(why));
  } finally {
    busy.value = new Set([...busy.value].filter((each) => each !== key));
    void poll();
  }
  if (error.status === 401 && !isAgain && (await unlocked(rights))) return await act<T>(wanted, true);
  const dealt = wanted.refused?.(error);
  tell({ text: dealt ?? [error.message, error.hint].filter(Boolean).join(": "), isError: true });
  return undefined;
}

/**
 * Let the user unlock the dashboard, and return whether that gave a new session.
 *
 * The gateway asks an administrator again after a quarter of an hour.
 */
async function unlocked(rights: Rights): Promise<boolean> {
  const former = signed.value.id;
  await new Promise<void>((resume) => {
    locked.value = { rights, resume };
  });
  return signed.value.id !== former && may(rights);
}

/** Return whether an act is under way. */
export function isBusy(method: string, path: string): boolean {
  return busy.value.has(`${method} ${path}`);
}
