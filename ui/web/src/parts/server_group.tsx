/** A group of servers, with the buttons that act on all of them. */

import type { ServerGroup } from "@mcpgateway/core/groups";
import type { Server } from "@mcpgateway/core/model";
import { serverPath } from "@mcpgateway/core/operations";
import { counted, plain } from "@mcpgateway/core/words";
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { type Act, act, tell } from "../act";
import { State } from "./basics";

/** A group that is opened by a click; a filter opens every group. */
export function ServerGroupPart(props: { group: ServerGroup; isOpen: boolean; children: ComponentChildren }) {
  const { name, title, status, servers } = props.group;
  const [isBusy, setBusy] = useState(false);
  const shown = plain(name);
  const all = async (which: Server[], wanted: (each: Server) => Act, done: string) => {
    setBusy(true);
    let many = 0;
    for (const each of which) {
      if ((await act(wanted(each))) === undefined) break;
      many++;
    }
    setBusy(false);
    // A refusal is told instead, and ends the rest.
    if (many === which.length) tell({ text: `${shown}: ${counted(many, "server")} ${done}`, isError: false });
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
  const post = (operation: string) => (each: Server) =>
    ({ method: "POST", path: serverPath(each.name, operation), done: each.name }) as const;
  const patch = (enabled: boolean) => (each: Server) =>
    ({ method: "PATCH", path: serverPath(each.name), body: { enabled }, done: each.name }) as const;
  const up = on.filter((each) => each.pids.length > 0);
  const off = servers.filter((each) => !each.enabled);
  return (
    <div class="group">
      <span class="buttons">
        {button("Restart", on, post("restart"), "restarted")}
        {button("Stop", up, post("stop"), "stopped")}
        {button("Switch off", on, patch(false), "switched off")}
        {button("Switch on", off, patch(true), "switched on")}
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
