/** A part of the pages that is loaded when it is first shown. */

import { type ComponentType, h } from "preact";
import { useEffect, useState } from "preact/hooks";
import { freshness, missed, returns } from "../gateway";
import { AWAY } from "./basics";

const RELOADED = "mcpgateway.reloaded";
const RELOAD_MS = 60_000;

/** Load the page again, unless that was done a moment ago and has not helped. */
function reload(): void {
  if (Date.now() - Number(sessionStorage.getItem(RELOADED)) < RELOAD_MS) return;
  sessionStorage.setItem(RELOADED, String(Date.now()));
  location.reload();
}

/** Return a component that loads another one; what lies over the page says nothing while it is loaded. */
export function later<P extends object>(
  load: () => Promise<ComponentType<P>>,
  isOver = false,
): ComponentType<P> {
  let found: ComponentType<P> | undefined;
  return function Later(props: P) {
    const [, setDrawn] = useState(Boolean(found));
    const [isMissing, setMissing] = useState(false);
    useEffect(() => {
      if (found) return;
      // A browser keeps the failure of a module for as long as the page lives.
      if (isMissing) return reload();
      load().then(
        (part) => {
          found = part;
          setMissing(false);
          setDrawn(true);
        },
        // The gateway is away, or has been upgraded and has other files.
        () => {
          setMissing(true);
          missed();
        },
      );
    }, [returns.value]);
    if (isMissing)
      return (
        <p class="refused">
          {freshness.value === "stale"
            ? AWAY
            : "This part of the page cannot be loaded. Load the page again."}
        </p>
      );
    if (found) return h(found, props);
    return isOver ? null : <p role="status">Loading the page.</p>;
  };
}
