/** Figures with their words. */

/** One figure with the word for it. */
export function Figure(props: { value: string; what: string; isBad?: boolean }) {
  return (
    <span class={props.isBad ? "figure bad" : "figure"}>
      <b>{props.value}</b> {props.what}
    </span>
  );
}
