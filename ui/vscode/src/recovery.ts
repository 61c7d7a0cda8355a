/** When the extension starts a gateway: with the window, and again after a crash; never after a user's stop. */

import type { Ending } from "./place";

export interface Circumstances {
  /** Whether the user wants the extension to start it: by a setting, the project's file, or by having started it here. */
  isWanted: boolean;
  ending: Ending;
  /** Whether it has answered since the window was opened. */
  wasHere: boolean;
  /** When it was first missed, and when it was last started, in milliseconds; 0 for never. */
  missedAt: number;
  triedAt: number;
  /** How often a start has failed since it answered last. */
  failures: number;
}

const PAUSES_MS = [30_000, 60_000, 120_000];

/** Return when a gateway that does not answer is to be started, in milliseconds; undefined for never. */
export function startAt(found: Circumstances): number | undefined {
  const { isWanted, ending, wasHere, missedAt, triedAt, failures } = found;
  if (!isWanted || ending === "stopped") return undefined;
  // Who has ended it in order, be it a service manager, wants it to be away.
  if (wasHere && ending === "ended" && !failures) return undefined;
  if (!wasHere && !triedAt) return missedAt;
  // The gateway's own guardian begins it again at once, so the first pause is for that.
  const tries = wasHere ? failures : Math.max(0, failures - 1);
  return Math.max(missedAt, triedAt) + (PAUSES_MS[tries] ?? Math.max(...PAUSES_MS));
}
