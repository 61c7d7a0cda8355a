/** Buttons that act on several servers, one after the other. */

import type { ApiError } from "@mcpgateway/core/api";
import type { Server } from "@mcpgateway/core/model";
import { outcome } from "@mcpgateway/core/operations";
import { counted, plain } from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import { type Act, act, tell } from "../act";
import { starting, stopping, switching } from "../operations";
import { confirmed, type Question } from "./dialog";

const start = (each: Server) => starting(each.name, each.pids.length ? "Restart" : "Start").act;
const turn = (each: Server) => switching(each).act;

interface Kind {
  word: string;
  done: string;
  isMeant: (server: Server) => boolean;
  act: (server: Server) => Act;
  /** The kind that takes it back. */
  undo?: "on" | "off";
}

const KINDS = {
  start: {
    word: "Start",
    done: "started",
    isMeant: (each) => each.enabled && !each.pids.length,
    act: start,
  },
  restart: { word: "Restart", done: "restarted", isMeant: (each) => each.enabled, act: start },
  stop: {
    word: "Stop",
    done: "stopped",
    isMeant: (each) => each.enabled && each.pids.length > 0,
    act: (each) => stopping(each.name).act,
  },
  off: { word: "Switch off", done: "switched off", isMeant: (each) => each.enabled, act: turn, undo: "on" },
  on: { word: "Switch on", done: "switched on", isMeant: (each) => !each.enabled, act: turn, undo: "off" },
} satisfies Record<string, Kind>;

/** What the servers are called that the user has selected. */
export const SELECTED = "the selected";

export interface BulkProps {
  /** What the servers are called together. */
  of: string;
  servers: readonly Server[];
  kinds: readonly (keyof typeof KINDS)[];
  /** Whether the buttons themselves say what they act on. */
  isTold?: boolean;
  question?: (kind: string, many: number) => Question | undefined;
}

export function BulkButtons({ of, servers, kinds, isTold, question }: BulkProps) {
  const [isBusy, setBusy] = useState(false);
  const all = async ({ word, done, act: wanted, undo }: Kind, which: readonly Server[]) => {
    const asked = question?.(word, which.length);
    if (asked && !(await confirmed(asked))) return;
    setBusy(true);
    const failed: string[] = [];
    const changed: Server[] = [];
    for (const each of which) {
      const before = failed.length;
      const refused = (why: ApiError) => {
        failed.push(`${each.name}: ${why.message}`);
        return undefined;
      };
      const what = `${word} ${each.name}`;
      const answer = await act<{ server?: Server }>({ what, ...wanted(each), done: "", refused });
      if (answer?.server?.need) failed.push(outcome(answer.server).text);
      // Without a refusal the user has not unlocked the dashboard.
      if (answer === undefined && failed.length === before) break;
      if (failed.length === before) changed.push({ ...each, enabled: !each.enabled });
    }
    setBusy(false);
    if (!changed.length && !failed.length) return;
    const [first] = changed;
    const many = first && changed.length === 1 ? `${first.name} is` : counted(changed.length, "server");
    const said = of === SELECTED ? `${many} ${done}` : `${of}: ${many} ${done}`;
    const text = [...(first ? [said] : []), ...failed].map(plain).join("; ");
    const back = undo && changed.length > 0 && { undo: () => void all(KINDS[undo], changed) };
    tell({ text, isError: failed.length > 0, ...(back || {}) });
  };
  return (
    <span class="buttons">
      {kinds.map((each) => {
        const kind: Kind = KINDS[each];
        const which = servers.filter(kind.isMeant);
        const label = `${kind.word} ${of}`;
        return (
          which.length > 0 && (
            <button
              key={each}
              type="button"
              disabled={isBusy}
              aria-label={label}
              onClick={() => void all(kind, which)}
            >
              {isTold ? label : kind.word}
            </button>
          )
        );
      })}
    </span>
  );
}
