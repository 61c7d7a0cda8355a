/** The item of the status bar: running servers of all, and whether something needs the user. */

import { counted, memory, plain } from "@mcpgateway/core/words";
import type { Ending } from "./place";
import { savingsOf, sentence } from "./rows";
import type { Settings } from "./settings";
import type { Known } from "./watch";

export interface Bar {
  text: string;
  tooltip: string;
  spoken: string;
  isWarning: boolean;
  isShown: boolean;
}

export interface BarFacts {
  known: Known;
  ending: Ending;
  isStarting: boolean;
  /** Whether the project is to use the gateway: undefined where nothing says so. */
  isOfProject: boolean | undefined;
  statusBar: Settings["statusBar"];
}

/** Return the item of the status bar; it is hidden in a project that does not use the gateway. */
export function barOf({ known, ending, isStarting, isOfProject, statusBar }: BarFacts): Bar {
  const { text, tooltip, isWarning } = saidOf(known, ending, isStarting);
  const attention = isWarning || known.phase === "silent" || known.phase === "refused";
  const isShown =
    isOfProject !== false && (statusBar === "always" || (statusBar === "attention" && attention));
  const spoken = `MCP Gateway: ${tooltip.split("\n")[0] ?? ""}`;
  return { text, tooltip, spoken, isWarning, isShown };
}

function saidOf(
  known: Known,
  ending: Ending,
  isStarting: boolean,
): Pick<Bar, "text" | "tooltip" | "isWarning"> {
  const { phase, overview, refusal } = known;
  if (isStarting)
    return { text: "$(sync~spin) MCP", tooltip: "The gateway is being started", isWarning: false };
  if (phase === "connecting")
    return { text: "$(sync~spin) MCP", tooltip: "Asking the gateway", isWarning: false };
  if (phase === "silent")
    return { text: "$(question) MCP ?", tooltip: "The gateway gives no sign of life", isWarning: true };
  if (phase === "refused") return { text: "$(lock) MCP", tooltip: sentence(refusal), isWarning: true };
  if (phase === "foreign") return { text: "$(question) MCP ?", tooltip: refusal, isWarning: true };
  if (phase === "away" || !overview) {
    const why = ending === "stopped" ? "The gateway is stopped" : "The gateway does not run";
    return { text: "$(debug-disconnect) MCP off", tooltip: why, isWarning: false };
  }
  const { servers, running, needs, memory_mb, backends, saved, sessions } = overview;
  const children = backends.reduce((sum, each) => sum + each.pids.length, 0);
  const lines = [
    sentence(overview.verdict),
    ...needs.slice(0, 5).map((each) => `${each.kind === "server" ? `${each.name}: ` : ""}${each.says}`),
    `${running} of ${counted(servers, "server")} running, ${counted(children, "process", "processes")}`,
    `${memory(memory_mb)} in use by the gateway, ${counted(sessions, "session")}`,
    savingsOf(saved),
  ];
  const icon = needs.length ? "$(warning)" : "$(plug)";
  return {
    text: `${icon} MCP ${running}/${servers}`,
    tooltip: lines.filter(Boolean).map(plain).join("\n"),
    isWarning: needs.length > 0,
  };
}
