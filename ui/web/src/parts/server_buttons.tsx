/** The buttons that act on a server, and those that help with a fault of it. */

import type { Remedy, Server } from "@mcpgateway/core/model";
import { setting } from "@mcpgateway/core/operations";
import { plain } from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import { isBusy } from "../act";
import { resetting, signIn, signingIn, starting, stopping, switching, tryAgain } from "../operations";
import { to } from "../router";
import { ActButton } from "./basics";

export function ServerButtons({ server }: { server: Server }) {
  const { name, enabled: isEnabled, pids, need } = server;
  const isUp = pids.length > 0;
  return (
    <span class="buttons">
      {isEnabled &&
        (need && !isUp ? (
          <Fix name={name} remedy={need} />
        ) : (
          <ActButton {...starting(name, isUp ? "Restart" : "Start")}>{isUp ? "Restart" : "Start"}</ActButton>
        ))}
      {isEnabled && isUp && <ActButton {...stopping(name)}>Stop</ActButton>}
      <ActButton {...switching(server)}>{isEnabled ? "Switch off" : "Switch on"}</ActButton>
    </span>
  );
}

/** The way out of a fault: sign in there, or set what is missing; and the next try, after all that failed. */
export function Fix({ name, remedy }: { name: string; remedy: Remedy }) {
  if (remedy.action === "sign-in") return <SignIn name={name} />;
  return (
    <>
      <Setting name={name} remedy={remedy} />
      <Again name={name} />
    </>
  );
}

/** A link to the field of the server's settings that the remedy of a fault changes. */
export function Setting({ name, remedy }: { name: string; remedy: Remedy }) {
  if (remedy.action !== "set") return null;
  const words = plain(setting(remedy.key));
  return (
    <a
      class="button"
      href={`${to("servers", name, "settings")}?key=${encodeURIComponent(remedy.key)}`}
      aria-label={`${words} of ${plain(name)}`}
    >
      {words}
    </a>
  );
}

/** A button that tries a server that has failed, also one that the gateway would not start by itself any more. */
export function Again({ name }: { name: string }) {
  const { label, act: reset } = resetting(name);
  const { act: start } = starting(name, "Start");
  const isUnderWay = isBusy(reset.method, reset.path) || isBusy(start.method, start.path);
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      aria-busy={isUnderWay}
      disabled={isUnderWay}
      onClick={() => void tryAgain(name)}
    >
      {isUnderWay ? "Trying it" : "Try now"}
    </button>
  );
}

/** A button that opens the page at which the user signs in at a server. */
export function SignIn({ name }: { name: string }) {
  const [url, setUrl] = useState("");
  const { label, act } = signingIn(name);
  const isUnderWay = isBusy(act.method, act.path);
  if (url)
    // A browser may keep a tab from being opened by itself.
    return (
      <a class="button primary" target="_blank" rel="noopener noreferrer" href={url}>
        Open the sign-in
      </a>
    );
  return (
    <button
      type="button"
      class="primary"
      aria-label={label}
      aria-busy={isUnderWay}
      disabled={isUnderWay}
      onClick={async () => setUrl(await signIn(name))}
    >
      Sign in
    </button>
  );
}
