/** The line about a gateway that does not answer. */

import { clock } from "@mcpgateway/core/words";
import { freshness, heardAt } from "../gateway";
import { Command } from "./basics";

export function Away() {
  return (
    <p class={freshness.value === "stale" ? "away refused" : "unseen away"} role="status">
      {freshness.value === "stale" && (
        <>
          The gateway does not answer. It was heard last at {clock(heardAt.value)}; what is shown is of then.
          This page goes on by itself as soon as it answers; <Command text="mcpgateway start" /> starts one
          that has stopped.
        </>
      )}
    </p>
  );
}
