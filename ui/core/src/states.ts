/** The states of servers: a mark, a word and a tone for each, so that none is told by its colour alone. */

export type Tone = "good" | "calm" | "busy" | "bad" | "off";

export interface StateLook {
  mark: string;
  word: string;
  tone: Tone;
}

const LOOKS: Record<string, StateLook> = {
  running: { mark: "●", word: "running", tone: "good" },
  asleep: { mark: "☾", word: "asleep", tone: "good" },
  idle: { mark: "◌", word: "ready", tone: "calm" },
  starting: { mark: "◔", word: "starting", tone: "busy" },
  restarting: { mark: "◔", word: "restarting", tone: "busy" },
  degraded: { mark: "◐", word: "degraded", tone: "bad" },
  error: { mark: "✖", word: "error", tone: "bad" },
  failed: { mark: "✖", word: "failed", tone: "bad" },
  "not ready": { mark: "✖", word: "not ready", tone: "bad" },
  unreachable: { mark: "✖", word: "unreachable", tone: "bad" },
  "needs login": { mark: "⚷", word: "needs a sign-in", tone: "bad" },
  stopped: { mark: "◌", word: "ready", tone: "calm" },
  serving: { mark: "●", word: "serving", tone: "good" },
  draining: { mark: "◔", word: "draining", tone: "busy" },
  left: { mark: "○", word: "left", tone: "off" },
  gone: { mark: "✖", word: "gone", tone: "bad" },
  disabled: { mark: "○", word: "off", tone: "off" },
};

/** Return how a state looks; one that this release does not know is shown by its name. */
export function look(state: string): StateLook {
  return LOOKS[state] ?? { mark: "?", word: state, tone: "calm" };
}

const ORDER: Tone[] = ["bad", "busy", "good", "calm", "off"];

/** Return the rank of a state where the worst come first. */
export function rank(state: string): number {
  return ORDER.indexOf(look(state).tone);
}
