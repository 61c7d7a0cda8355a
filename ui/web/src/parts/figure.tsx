/** Figures with their words. */

import type { Savings } from "@mcpgateway/core/model";
import { compared, count, memory } from "@mcpgateway/core/words";

/** One figure with the word for it. */
export function Figure(props: { value: string; what: string; isBad?: boolean }) {
  return (
    <span class={props.isBad ? "figure bad" : "figure"}>
      <b>{props.value}</b> {props.what}
    </span>
  );
}

/** What sharing saves, or takes more than without the gateway. */
export function SavedBySharing({ of }: { of: Savings | undefined }) {
  const [processes, countedAs] = compared(of?.processes.saved, count, "processes");
  const [size, measuredAs] = compared(of?.memory.saved_mb, memory, "of memory");
  return (
    <>
      <Figure value={processes} what={countedAs} />
      <Figure value={size} what={measuredAs} />
    </>
  );
}
