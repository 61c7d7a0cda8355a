/** What the user does: one request at a time per control, with its outcome told in the status line. */

import { ApiError, type Method } from "@mcpgateway/core/api";
import { signal } from "@preact/signals";
import { api, changes, poll } from "./gateway";
import { nameOfPressed, returnFocus } from "./pressed";
import { may, type Rights, signed } from "./session";

export interface Notice {
  text: string;
  isError: boolean;
  /** Takes the act back. */
  undo?: () => void;
}

/** The outcome of the latest act, which screen readers are told too. */
export const notice = signal<Notice | undefined>(undefined);
const SHOWN_MS = 8000;
const UNDO_MS = 30_000;
const READ_MS = 1500; // an act may lead to another page itself
let fading: ReturnType<typeof setTimeout> | undefined;
let toldAt = 0;

/** Tell the outcome of an act: a success for a while or until another page is opened, a failure until it is dismissed. */
export function tell(told: Notice): void {
  dismiss();
  notice.value = told;
  toldAt = Date.now();
  if (!told.isError) fading = setTimeout(dismiss, told.undo ? UNDO_MS : SHOWN_MS);
}

/** Take the outcome away. */
export function dismiss(): void {
  clearTimeout(fading);
  notice.value = undefined;
}

/** Take note that another page is shown. */
export function turned(): void {
  if (notice.value && !notice.value.isError && Date.now() - toldAt > READ_MS) dismiss();
}

/** The requests under way, by their labels. */
export const busy = signal<ReadonlySet<string>>(new Set());
/** What waits for the user to unlock the dashboard. */
export interface Locked {
  rights: Rights;
  resume: () => void;
  /** The name of what asks for it; empty where the user asks. */
  what: string;
  /** Whether the gateway has refused the present session for it. */
  isRefused: boolean;
}
export const locked = signal<Locked | undefined>(undefined);

/** Let the user unlock the dashboard for its own sake. */
export function unlock(rights: Rights): void {
  locked.value = { rights, resume: returnFocus, what: "", isRefused: false };
}

export interface Act {
  /** The sentence of the outcome, such as `github is restarted`, which may depend on the answer; empty for none. */
  done: string | ((answer: unknown) => string | Notice);
  /** `GET` to look at something that takes rights. */
  method: Method;
  path: string;
  /** Its name, such as `Restart github`; without it, that of the button that was pressed. */
  what?: string;
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
  if (!may(rights) && !(await unlocked(rights, wanted))) return undefined;
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
    returnFocus();
  }
  if (error.status === 401 && !isAgain && (await unlocked(rights, wanted, true)))
    return await act<T>(wanted, true);
  const dealt = wanted.refused?.(error);
  tell({ text: dealt ?? error.sentence, isError: true });
  return undefined;
}

/**
 * Let the user unlock the dashboard, and return whether that gave a new session.
 *
 * The gateway asks an administrator again after a quarter of an hour.
 */
async function unlocked(rights: Rights, { what }: Act, isRefused = false): Promise<boolean> {
  const former = signed.value.id;
  await new Promise<void>((resume) => {
    locked.value = { rights, resume, what: what || nameOfPressed(), isRefused };
  });
  returnFocus();
  return signed.value.id !== former && may(rights);
}

/** Return whether an act is under way. */
export function isBusy(method: string, path: string): boolean {
  return busy.value.has(`${method} ${path}`);
}
