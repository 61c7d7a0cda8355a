/** Small parts of all pages. */

import type { ApiError } from "@mcpgateway/core/api";
import { look } from "@mcpgateway/core/states";
import { plain } from "@mcpgateway/core/words";
import type { ComponentChildren } from "preact";
import { isBusy } from "../act";
import { freshness } from "../gateway";
import { type Operation, perform } from "../operations";

/** A server's state: a mark and a word. */
export function State({ state }: { state: string }) {
  const { mark, word, tone } = look(state);
  return (
    <span class={`state ${tone}`}>
      <span aria-hidden="true">{mark}</span> {word}
    </span>
  );
}

/** A button that does something, after a question if the act cannot be undone. */
export function ActButton(props: Operation & { children: ComponentChildren; then?: () => void }) {
  const { act: wanted, label, then } = props;
  const isUnderWay = isBusy(wanted.method, wanted.path);
  const run = async () => {
    if (await perform(props)) then?.();
  };
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      aria-busy={isUnderWay}
      disabled={isUnderWay}
      onClick={run}
    >
      {props.children}
    </button>
  );
}

/** What stands in place of an answer while the gateway is away; the head of the page says how it comes back. */
export const AWAY = "The gateway is away; this is shown as soon as it answers.";

/** A question that was not answered, in place of the answer. */
export function Refused({ error }: { error: ApiError }) {
  if (!error.status && freshness.value === "stale") return <Empty>{AWAY}</Empty>;
  return (
    <p class="refused">
      {plain(error.message)}
      {error.hint && <span class="hint"> {plain(error.hint)}</span>}
    </p>
  );
}

/** A section of a page with its heading. */
export function Section(props: { title: string; children: ComponentChildren; extra?: ComponentChildren }) {
  const id = `section-${props.title.toLowerCase().replace(/\W+/g, "-")}`;
  return (
    <section aria-labelledby={id}>
      <header class="section">
        <h2 id={id}>{props.title}</h2>
        {props.extra}
      </header>
      {props.children}
    </section>
  );
}

/** A line where there is nothing yet, with the next step. */
export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

/** A command that is copied with a click. */
export function Command({ text }: { text: string }) {
  return (
    <span class="command">
      <code>{text}</code>
      <Copy text={text} />
    </span>
  );
}

/** A button that copies a text. */
export function Copy({ text, label = text }: { text: string; label?: string }) {
  const copy = () => void navigator.clipboard?.writeText(text);
  return (
    <button type="button" class="quiet copy" aria-label={`Copy ${label}`} title="Copy" onClick={copy}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <rect x="5" y="5" width="8" height="9" rx="1.5" />
        <path d="M10.5 5V3.5A1.5 1.5 0 0 0 9 2H4.5A1.5 1.5 0 0 0 3 3.5V9a1.5 1.5 0 0 0 1.5 1.5H5" />
      </svg>
    </button>
  );
}
