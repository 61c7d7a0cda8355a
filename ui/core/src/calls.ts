/** Requests to servers as the activity log has them: their list, its figures, and one call's phases. */

import { isObject, isSecret } from "./form";
import type { ToolCall } from "./snippets";
import { UNKNOWN } from "./words";

/** A line of the activity log about a request to a server. */
export interface Call {
  /** When it ended. */
  at: string;
  id: string;
  kind: string;
  server: string;
  method: string;
  tool?: string;
  ms: number;
  outcome: string;
  principal: string;
  client?: string;
  project?: string;
  pid?: number;
  session?: string;
  trace?: string;
  /** The node of the cluster that has served it. */
  node?: string;
  error?: string;
  sent_bytes?: number;
  answer_bytes?: number;
}

/** A span of a call, in milliseconds after its arrival. */
export interface Span {
  at: number;
  ms: number;
}

/** A recorded message; `text` is the beginning of one that is long, or no JSON. */
export interface Frame {
  at: string;
  direction: "to-server" | "from-server";
  bytes: number;
  message?: Record<string, unknown>;
  text?: string;
}

/** `GET /api/v1/activity/{id}`. */
export interface OneCall {
  record: Call;
  phases: (Span & { name: string; what: string })[];
  questions: (Span & { method: string; id: string })[];
  messages: Frame[];
  is_recorded: boolean;
}

/** The calls that a list shows; empty for all. */
export interface CallChoice {
  server: string;
  tool: string;
  client: string;
  /** The outcome, `failed` for errors and refusals, or `timeout`. */
  outcome: string;
  text: string;
  /** Milliseconds; 0 for all. */
  slowerThan: number;
  /** The latest minutes. */
  minutes: number;
}

export const FAILED = new Set(["error", "refused"]);

/** Return the query of a choice, which the list and the figures have in common. */
export function queryOf(choice: CallChoice): URLSearchParams {
  const { server, tool, client, outcome, slowerThan, minutes } = choice;
  const isFailed = outcome === "failed";
  const parts = { server, tool, client, outcome: isFailed ? "" : outcome, text: choice.text.trim() };
  const query = new URLSearchParams({ minutes: String(minutes) });
  for (const [name, value] of Object.entries(parts)) if (value) query.set(name, value);
  if (isFailed) query.set("failed", "true");
  if (slowerThan > 0) query.set("slower_than", String(Math.floor(slowerThan)));
  return query;
}

/** Return the place of a call in the log, by which pages of it go on. */
export function placeOf(call: Call): string {
  return `${call.at}/${call.id}`;
}

/** Return the calls with new ones before them, the latest first, each once and no more than a number of them. */
export function withNew(calls: readonly Call[], come: readonly Call[], most: number): Call[] {
  const known = new Set(calls.slice(0, come.length + 1000).map((each) => each.id));
  const fresh = come.filter((each) => !known.has(each.id) && known.add(each.id));
  return [...fresh.reverse(), ...calls].slice(0, most);
}

/** Return who has made a call. */
export function whoOf(call: Call): string {
  return call.client || call.principal || UNKNOWN;
}

/** A row of a waterfall; left and width are parts of the whole, between 0 and 1. */
export interface Bar extends Span {
  name: string;
  what: string;
  left: number;
  width: number;
  /** Whether the call waited for its client then. */
  isWaiting: boolean;
}

const NARROWEST = 0.004;

/** Return the rows of a call's waterfall: its phases, and the questions below the phase that they came in. */
export function waterfall(call: Pick<OneCall, "phases" | "questions">): Bar[] {
  const spans = [...call.phases, ...call.questions];
  const whole = Math.max(0.001, ...spans.map((each) => each.at + each.ms));
  const bar = (span: Span, name: string, what: string, isWaiting: boolean): Bar => {
    const width = Math.max(NARROWEST, span.ms / whole);
    const left = Math.min(span.at / whole, 1 - width);
    return { at: span.at, ms: span.ms, name, what, left, width, isWaiting };
  };
  const asked = call.questions.map((each) =>
    bar(each, each.method, "the server asked, and waited for the client", true),
  );
  const found = call.phases.flatMap((each) => {
    const own = bar(each, each.name, each.what, false);
    return each.name === "upstream" ? [own, ...asked.splice(0)] : [own];
  });
  return [...found, ...asked];
}

/** A call that can be made again. */
export interface RepeatedCall extends ToolCall {
  /** The names of the arguments that are or have secrets, which nothing keeps. */
  left: string[];
}

const MASK = "***REDACTED***"; // stands for a secret in whatever the gateway keeps

/** Return the call that a recorded request makes; undefined where it is not recorded, or no call of a tool. */
export function repeatable(call: OneCall): RepeatedCall | undefined {
  const params = call.messages.find((each) => each.message?.method === "tools/call")?.message?.params;
  if (!isObject(params) || !call.record.tool) return undefined;
  const kept = Object.entries(isObject(params.arguments) ? params.arguments : {});
  const isLeft = ([name, value]: [string, unknown]) => isSecret(name) || JSON.stringify(value).includes(MASK);
  return {
    server: call.record.server,
    tool: call.record.tool,
    args: Object.fromEntries(kept.filter((each) => !isLeft(each))),
    left: kept.filter(isLeft).map(([name]) => name),
  };
}

const COLUMNS = [
  "at",
  "id",
  "server",
  "method",
  "tool",
  "client",
  "project",
  "pid",
  "principal",
  "ms",
  "outcome",
  "error",
] as const;

/** Return calls as CSV (RFC 4180); a cell that a spreadsheet would run as a formula begins with an apostrophe. */
export function asCsv(calls: readonly Call[]): string {
  const cell = (value: string | number | undefined) => {
    const text = value === undefined ? "" : String(value);
    const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const rows = calls.map((call) => COLUMNS.map((each) => cell(call[each])).join(","));
  return `${[COLUMNS.join(","), ...rows].join("\r\n")}\r\n`;
}

/** Return calls as lines of JSON. */
export function asJsonLines(calls: readonly Call[]): string {
  return calls.map((each) => `${JSON.stringify(each)}\n`).join("");
}
