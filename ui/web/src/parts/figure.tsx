/** Figures with their words. */

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
export function SavedBySharing(props: { processes?: number | null; memory_mb?: number | null }) {
  const [processes, countedAs] = compared(
    props.processes,
    count,
    Math.abs(props.processes ?? 0) === 1 ? "process" : "processes",
  );
  const [size, measuredAs] = compared(props.memory_mb, memory, "of memory");
  return (
    <>
      <Figure value={processes} what={countedAs} />
      <Figure value={size} what={measuredAs} />
    </>
  );
}
