/** Unlocking: a one-time code or a token of the gateway becomes the session of this browser. */

import { ApiError } from "@mcpgateway/core/api";
import { plain } from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import { type Locked, locked, tell } from "../act";
import { api } from "../gateway";
import { forget, keep, may, type Signed, signed } from "../session";
import { Command } from "./basics";
import { Dialog } from "./dialog";
import { later } from "./later";

const IssuerLinks = later(async () => (await import("../pages/rare")).IssuerLinks);

const PATH = "/api/v1/ui/sessions";
const CODE = "#code=";

/** Exchange a code or a token for a session. */
async function exchange(secret: string, isForBrowser: boolean): Promise<void> {
  const found = await api.send<Signed>("POST", PATH, { secret });
  keep(found, isForBrowser);
}

/** Sign in by the code in the address, which `mcpgateway ui` has opened. */
export async function arrive(): Promise<void> {
  if (!location.hash.startsWith(CODE)) return;
  const code = location.hash.slice(CODE.length);
  history.replaceState(null, "", location.pathname + location.search);
  try {
    await exchange(code, false);
    tell({ text: "This browser may change things now", isError: false });
  } catch (why) {
    const hint = why instanceof ApiError ? why.message : String(why);
    tell({ text: `${hint}: run mcpgateway ui again`, isError: true });
  }
}

/** Sign out here and at the gateway. */
export async function signOut(): Promise<void> {
  const { id } = signed.value;
  try {
    await api.send("DELETE", `${PATH}/${encodeURIComponent(id)}`);
  } catch {
    // The session ends at the gateway by itself.
  }
  forget();
}

/** The dialog that asks for a code or a token while an act waits for it. */
export function Unlock() {
  const [secret, setSecret] = useState("");
  const [isForBrowser, setForBrowser] = useState(false);
  const [fault, setFault] = useState("");
  const waiting = locked.value;
  if (!waiting) return null;
  const { what } = waiting;
  const close = () => {
    setSecret("");
    setFault("");
    locked.value = undefined;
    waiting.resume();
  };
  const signedIn = () => {
    if (may(waiting.rights)) close();
    else setFault("This sign-in may not do that: paste the admin token, or a code of mcpgateway ui");
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    try {
      await exchange(secret.trim(), isForBrowser);
    } catch (why) {
      setFault(why instanceof ApiError ? why.message : String(why));
      return;
    }
    signedIn();
  };
  return (
    <Dialog title={what ? `Unlock the dashboard: ${plain(what)}` : "Unlock the dashboard"} onClose={close}>
      <p>{reason(waiting)}</p>
      <p>
        Run <Command text="mcpgateway ui" /> in a terminal, which opens this page unlocked, or paste a code of{" "}
        <Command text="mcpgateway ui --code" /> or a token.
      </p>
      <IssuerLinks isForBrowser={isForBrowser} onSigned={signedIn} />
      <form onSubmit={submit}>
        <label>
          Code or token
          <input
            type="password"
            autocomplete="off"
            required
            value={secret}
            onInput={(event) => setSecret(event.currentTarget.value)}
          />
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={isForBrowser}
            onChange={(event) => setForBrowser(event.currentTarget.checked)}
          />
          Keep this browser signed in
        </label>
        <p role="alert" class={fault ? "refused" : "unseen"}>
          {fault}
        </p>
        <div class="buttons">
          <button type="submit" class="primary">
            Unlock
          </button>
          <button type="button" onClick={close}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}

const MAY = { look: "look", operate: "operate servers", admin: "change everything" };

function reason({ rights, isRefused }: Locked): string {
  const { token, rights: present } = signed.value;
  if (isRefused)
    return "The gateway takes the sign-in of this browser no longer for this. It has ended, or it was confirmed more than a quarter of an hour ago: changes of commands and tokens take a fresh code.";
  if (!token) return "Everybody on this machine may look. To change something takes a sign-in.";
  if (!may(rights))
    return `This browser is signed in to ${MAY[present]}. This takes a sign-in to ${MAY[rights]}.`;
  return "A new sign-in takes the place of the present one.";
}
