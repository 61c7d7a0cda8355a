/**
 * Who this browser is to the gateway: the token of its session, for this tab or for the browser.
 *
 * The tabs of a browser share their session: a tab that is opened asks the others for theirs, and all sign out at once.
 */

import { signal } from "@preact/signals";

export type Rights = "look" | "operate" | "admin";

export interface Signed {
  token: string;
  rights: Rights;
  id: string;
}

const KEY = "mcpgateway-session";
const NOBODY: Signed = { token: "", rights: "look", id: "" };

// Storage is missing where a user forbids it; the session then lasts as long as the page.
function stored(): Signed {
  try {
    const text = sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY);
    return text ? { ...NOBODY, ...JSON.parse(text) } : NOBODY;
  } catch {
    return NOBODY;
  }
}

/** The session of this browser. */
export const signed = signal<Signed>(stored());

/** `ended` is the id of a session that the gateway has ended; empty: the user has signed out. */
type Told = { asks: true } | { session: Signed; isForBrowser: boolean } | { ended: string };

const siblings = new BroadcastChannel(KEY);

function say(told: Told): void {
  siblings.postMessage(told);
}

/** Share the session with the other tabs of this browser, and ask them for theirs. */
export function share(): void {
  siblings.onmessage = ({ data }: MessageEvent<Told>) => {
    const { token, id, rights } = signed.value;
    if ("asks" in data) {
      if (token) say({ session: signed.value, isForBrowser: false });
    } else if ("ended" in data) {
      if (!data.ended || data.ended === id) clear();
    } else if (!token || rank(data.session.rights) >= rank(rights)) {
      take(data.session, data.isForBrowser);
    }
  };
  if (!signed.value.token) say({ asks: true });
}

/** Keep a session, for the tabs that are open or for all tabs to come. */
export function keep(session: Signed, isForBrowser: boolean): void {
  take(session, isForBrowser);
  say({ session, isForBrowser });
}

function take(session: Signed, isForBrowser: boolean): void {
  signed.value = session;
  try {
    (isForBrowser ? localStorage : sessionStorage).setItem(KEY, JSON.stringify(session));
  } catch {
    // See stored().
  }
}

/** Forget the session in all tabs: the one that the gateway has ended, or any. */
export function forget(ended = ""): void {
  clear();
  say({ ended });
}

function clear(): void {
  signed.value = NOBODY;
  try {
    sessionStorage.removeItem(KEY);
    localStorage.removeItem(KEY);
  } catch {
    // See stored().
  }
}

/** Return whether this browser may change something. */
export function may(rights: Rights): boolean {
  return rank(signed.value.rights) >= rank(rights);
}

function rank(rights: Rights): number {
  return ["look", "operate", "admin"].indexOf(rights);
}
