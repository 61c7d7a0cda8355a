/** Beside a call: its text for other programs, the messages of the session, and the calls of this browser. */

import { asCommand, asCurl, asJsonRpc, type PastCall } from "@mcpgateway/core/snippets";
import { clock, counted, milliseconds, plain } from "@mcpgateway/core/words";
import { tell } from "../act";
import { forgetCalls, pastCalls } from "../past_calls";
import type { Playground } from "../playground";
import { surroundings } from "../surroundings";
import { Section } from "./basics";

const SHOWN = 4000;

/** The buttons that copy the call. */
export function Copies(props: { server: string; tool: string; args: () => Record<string, unknown> }) {
  const { server, tool, args } = props;
  const copy = async (made: string) => {
    try {
      await navigator.clipboard.writeText(made);
      tell({ text: "The call is copied", isError: false });
    } catch {
      tell({ text: "The browser does not let this page copy", isError: true });
    }
  };
  const call = () => ({ server, tool, args: args() });
  return (
    <p class="buttons copies">
      <button type="button" onClick={() => void copy(asCurl(call(), surroundings.origin))}>
        Copy as curl
      </button>
      <button type="button" onClick={() => void copy(asCommand(call()))}>
        Copy as mcpgateway tools call
      </button>
      <button type="button" onClick={() => void copy(asJsonRpc(call()))}>
        Copy as JSON-RPC
      </button>
    </p>
  );
}

/** The messages of the session. */
export function Frames({ session }: { session: Playground }) {
  const frames = session.frames.value;
  return (
    <details>
      <summary>{counted(frames.length, "message")} of the session</summary>
      <ol class="frames">
        {frames.map((each, index) => (
          <li key={index}>
            <span class="quiet">
              {each.isSent ? "sent" : "received"} {clock(each.at)}
            </span>
            <pre tabIndex={0}>{plain(JSON.stringify(each.message).slice(0, SHOWN))}</pre>
          </li>
        ))}
      </ol>
    </details>
  );
}

/** The earlier calls of a tool in this browser. */
export function PastCalls(props: { server: string; tool: string; onAgain: (call: PastCall) => void }) {
  const { server, tool, onAgain } = props;
  const calls = pastCalls.value.filter((each) => each.server === server && each.tool === tool);
  if (!calls.length) return null;
  return (
    <Section
      title="Earlier calls in this browser"
      extra={
        <button type="button" onClick={forgetCalls}>
          Forget all
        </button>
      }
    >
      <ul class="list">
        {calls.map((each) => (
          <li key={each.at}>
            <time>{clock(each.at)}</time>
            <code>{plain(JSON.stringify(each.args))}</code>
            <span class={each.isError ? "bad" : "quiet"}>
              {milliseconds(each.ms)}
              {each.isError && ", failed"}
            </span>
            <button
              type="button"
              aria-label={`Fill in the arguments of ${clock(each.at)}`}
              onClick={() => onAgain(each)}
            >
              Fill in
            </button>
          </li>
        ))}
      </ul>
    </Section>
  );
}
