/** A group of servers, with the buttons that act on all of them. */

import type { ApiError } from "@mcpgateway/core/api";
import type { ServerGroup } from "@mcpgateway/core/groups";
import type { Server } from "@mcpgateway/core/model";
import { outcome } from "@mcpgateway/core/operations";
import { counted, plain } from "@mcpgateway/core/words";
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { type Act, act, tell } from "../act";
import { starting, stopping, switching } from "../operations";
import { State } from "./basics";

/** A group that is opened by a click; a filter opens every group. */
export function ServerGroupPart(props: { group: ServerGroup; isOpen: boolean; children: ComponentChildren }) {
  const { name, title, status, servers } = props.group;
  const [isBusy, setBusy] = useState(false);
  const shown = plain(name);
  const all = async (which: Server[], wanted: (each: Server) => Act, done: string) => {
    setBusy(true);
    const failed: string[] = [];
    let many = 0;
    for (const each of which) {
      const before = failed.length;
      const refused = (why: ApiError) => {
        failed.push(`${each.name}: ${why.message}`);
        return undefined;
      };
      const answer = await act<{ server?: Server }>({ ...wanted(each), done: "", refused });
      if (answer?.server?.need) failed.push(outcome(answer.server).text);
      // Without a refusal the user has not unlocked the dashboard.
      if (answer === undefined && failed.length === before) break;
      if (failed.length === before) many++;
    }
    setBusy(false);
    if (!many && !failed.length) return;
    const text = [`${shown}: ${counted(many, "server")} ${done}`, ...failed].map(plain).join("; ");
    tell({ text, isError: failed.length > 0 });
  };
  const on = servers.filter((each) => each.enabled);
  const button = (word: string, which: Server[], wanted: (each: Server) => Act, done: string) =>
    which.length > 0 && (
      <button
        type="button"
        disabled={isBusy}
        aria-label={`${word} ${shown}`}
        onClick={() => void all(which, wanted, done)}
      >
        {word}
      </button>
    );
  const restart = (each: Server) => starting(each.name, "Restart").act;
  const stop = (each: Server) => stopping(each.name).act;
  const turn = (each: Server) => switching(each).act;
  const up = on.filter((each) => each.pids.length > 0);
  const off = servers.filter((each) => !each.enabled);
  return (
    <div class="group">
      <span class="buttons">
        {button("Restart", on, restart, "restarted")}
        {button("Stop", up, stop, "stopped")}
        {button("Switch off", on, turn, "switched off")}
        {button("Switch on", off, turn, "switched on")}
      </span>
      <details open={props.isOpen}>
        <summary>
          {title && <span class="quiet">{plain(title)} </span>}
          <strong>{shown}</strong> <State state={status} /> {counted(servers.length, "server")}
        </summary>
        {props.children}
      </details>
    </div>
  );
}
