/** The lines of a log with their levels, as VS Code's log channels have them. */

import { plain } from "@mcpgateway/core/words";

export type Level = "trace" | "debug" | "info" | "warn" | "error";

const STAMPED = /^\d{4}-\d\d-\d\dT\S+ +/;
const LEVELS: Record<string, Level> = {
  trace: "trace",
  debug: "debug",
  info: "info",
  notice: "info",
  warn: "warn",
  warning: "warn",
  error: "error",
  critical: "error",
  alert: "error",
  fatal: "error",
};
const MARKED = /^(?:\w+ )?\[(?:[^\]#]*#)?(\w+)\] */;
const SPOKEN = /\b(?:(ERROR|CRITICAL|FATAL|Traceback)|(WARN|WARNING)|(DEBUG))\b/;

/** Return the level of a line, and its text without the time, which the channel shows itself. */
export function leveled(line: string): { level: Level; text: string } {
  const rest = line.replace(STAMPED, "");
  const marked = MARKED.exec(rest);
  const level = LEVELS[marked?.[1]?.toLowerCase() ?? ""];
  if (level && marked) return { level, text: plain(rest.slice(marked[0].length)) };
  // A server's own line on stderr has the level that it names.
  const [, error, warning, debug] = SPOKEN.exec(rest) ?? [];
  return { level: error ? "error" : warning ? "warn" : debug ? "debug" : "info", text: plain(rest) };
}
