/** Who this browser is to the gateway: the token of its session, for this tab or for the browser. */

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

/** Keep a session, for this tab or for all tabs to come. */
export function keep(session: Signed, isForBrowser: boolean): void {
  signed.value = session;
  try {
    (isForBrowser ? localStorage : sessionStorage).setItem(KEY, JSON.stringify(session));
  } catch {
    // See stored().
  }
}

/** Forget the session. */
export function forget(): void {
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
  const order: Rights[] = ["look", "operate", "admin"];
  return order.indexOf(signed.value.rights) >= order.indexOf(rights);
}
