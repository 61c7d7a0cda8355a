/** The rows of the views: what each shows, says to a screen reader, and can be used for. */

import { type Call, FAILED, whoOf } from "@mcpgateway/core/calls";
import { grouped, type ServerGroup } from "@mcpgateway/core/groups";
import type { Need, Overview, Server, ToolRow } from "@mcpgateway/core/model";
import { look, type Tone } from "@mcpgateway/core/states";
import {
  clock,
  compared,
  counted,
  duration,
  memory,
  milliseconds,
  plain,
  tokens,
} from "@mcpgateway/core/words";

/** A row of a tree. */
export interface Row {
  /** Stays the same for as long as the row stands for the same thing. */
  id: string;
  label: string;
  description?: string;
  /** A product icon, and the colour of the theme that it has. */
  icon?: string;
  color?: string;
  /** Text without markup. */
  tooltip?: string;
  /** The words of a screen reader, which sees no icon. */
  spoken?: string;
  /** What the menus go by. */
  context?: string;
  /** The command of a click. */
  command?: string;
  /** Rows below: known ones, or `later` for those that are asked for when it is opened. */
  children?: Row[] | "later";
  isOpen?: boolean;
  /** The names of the servers it stands for; several for a group. */
  servers?: string[];
  tool?: string;
  need?: Need;
  client?: { tool: string; path: string; label: string };
  session?: string;
}

const ICONS: Record<Tone, [icon: string, color: string]> = {
  good: ["pass-filled", "testing.iconPassed"],
  busy: ["sync", "charts.yellow"],
  bad: ["error", "list.errorForeground"],
  calm: ["circle-outline", "disabledForeground"],
  off: ["circle-slash", "disabledForeground"],
};
const PARTLY: Record<string, [icon: string, color: string]> = {
  degraded: ["warning", "list.warningForeground"],
  unreachable: ["debug-disconnect", "list.errorForeground"],
  "needs login": ["key", "list.warningForeground"],
};

function iconOf(state: string): { icon: string; color: string } {
  const [icon, color] = PARTLY[state] ?? ICONS[look(state).tone];
  return { icon, color };
}

/**
 * The rows of the view Gateway: its figures, and what needs the user.
 *
 * @param notice a sentence about the release of the gateway; empty for none.
 */
export function gatewayRows(overview: Overview, notice = ""): Row[] {
  const { version, uptime_seconds, memory_mb, saved, sessions, disabled } = overview;
  const facts = [`up ${duration(uptime_seconds)}`, memory(memory_mb), counted(sessions, "session")];
  const savings = savingsOf(saved);
  const state: Row = {
    id: "gateway",
    label: disabled ? "Disabled" : sentence(overview.verdict),
    description: facts.join(" · "),
    ...(disabled ? iconOf("disabled") : iconOf(overview.ok ? "running" : "degraded")),
    tooltip: [`Gateway ${version}`, ...facts, savings].filter(Boolean).join("\n"),
    context: disabled ? "gateway.disabled" : "gateway",
    command: "mcpgateway.openDashboard",
  };
  const told: Row = { id: "release", label: notice, icon: "info", tooltip: notice, spoken: notice };
  return [state, ...(notice ? [told] : []), ...overview.needs.map(needRow)];
}

/** Return the savings in words; empty where none are known. */
export function savingsOf(saved: Overview["saved"]): string {
  const [processes, ofThem] = compared(
    saved.processes,
    (many) => counted(many ?? 0, "process", "processes"),
    "",
  );
  const [amount, ofIt] = compared(saved.memory_mb, memory, "");
  if (saved.memory_mb === null) return saved.processes > 0 ? `${processes}${ofThem}` : "";
  return [`${processes}${ofThem}`, `${amount}${ofIt}`].join(", ");
}

function needRow(need: Need): Row {
  const about = need.kind === "server" ? `${need.name}: ` : "";
  const label = plain(`${about}${need.says}`);
  const error = need.level === "error";
  return {
    id: `need/${need.id}`,
    label,
    description: plain(need.do),
    icon: error ? "error" : "warning",
    color: error ? "list.errorForeground" : "list.warningForeground",
    tooltip: plain(`${about}${need.says}\n${need.do}`),
    spoken: `${error ? "error" : "warning"}: ${label}. ${plain(need.do)}`,
    context: `need.${need.kind}.${need.action || "none"}`,
    command: need.kind === "server" ? "mcpgateway.why" : "mcpgateway.openDashboard",
    ...(need.kind === "server" && { servers: [need.name] }),
    need,
  };
}

/** The rows of the view Servers: groups first where they are shown there. */
export function serverRows(servers: readonly Server[], hasGroups: boolean): Row[] {
  const { groups, others } = grouped(servers);
  return [...(hasGroups ? groups.map(groupRow) : []), ...others.map(serverRow)];
}

/** The rows of the view of groups, and its title. */
export function groupRows(servers: readonly Server[]): { title: string; rows: Row[] } {
  const { groups } = grouped(servers);
  const titles = new Set(groups.map((each) => each.title));
  const [only = ""] = titles;
  return { title: titles.size === 1 && only ? plain(only) : "Groups", rows: groups.map(groupRow) };
}

function groupRow(group: ServerGroup): Row {
  const { word } = look(group.status);
  const running = group.servers.filter((each) => each.pids.length || each.state === "running").length;
  return {
    id: `group/${group.title}/${group.name}`,
    label: plain(group.name),
    description: `${word} · ${running}/${group.servers.length}`,
    ...iconOf(group.status),
    tooltip: [group.title, group.name].filter(Boolean).map(plain).join(": "),
    spoken: `${plain(group.name)}, group of ${counted(group.servers.length, "server")}, ${word}`,
    context: "group",
    children: group.servers.map(serverRow),
    servers: group.servers.map((each) => each.name),
  };
}

function serverRow(server: Server): Row {
  const { name, state, need, sessions, tool_count, enabled, is_own } = server;
  const { word } = look(state);
  const many = tool_count === null ? "" : counted(tool_count, "tool");
  const facts = [word, sessions ? counted(sessions, "session") : "", many].filter(Boolean);
  return {
    id: `server/${name}`,
    label: plain(name),
    description: facts.join(" · "),
    ...iconOf(enabled ? state : "disabled"),
    tooltip: tooltipOf(server),
    spoken: [name, word, need?.says ?? "", many].filter(Boolean).map(plain).join(", "),
    context: `server.${kindOf(server)}.${is_own ? "own" : "foreign"}.${/^https?:/.test(server.runs) ? "far" : "near"}`,
    children: "later",
    servers: [name],
  };
}

/** Return the kind of a server's state that decides which commands fit it. */
export function kindOf({ enabled, state, pids }: Pick<Server, "enabled" | "state" | "pids">): string {
  if (!enabled) return "off";
  if (state === "needs login") return "login";
  if (pids.length || ["running", "asleep", "degraded", "starting", "restarting"].includes(state)) return "up";
  return look(state).tone === "bad" || state === "disabled" ? "bad" : "down";
}

function tooltipOf(server: Server): string {
  const {
    title,
    name,
    need,
    runs,
    transport,
    memory_mb,
    restart_count,
    calls_1h = 0,
    errors_1h = 0,
    source,
  } = server;
  const lines = [
    title && title !== name ? `${name}: ${title}` : name,
    need ? `${need.says}\n${need.do}` : "",
    `${transport}: ${runs}`,
    memory_mb === null ? "" : `${memory(memory_mb)}, up ${duration(server.uptime_seconds)}`,
    calls_1h ? `${counted(calls_1h, "call")} in the last hour, ${errors_1h} failed` : "",
    restart_count ? counted(restart_count, "restart") : "",
    source,
  ];
  return lines.filter(Boolean).map(plain).join("\n");
}

/** The rows below a server. */
export function toolRows(server: string, tools: readonly ToolRow[]): Row[] {
  if (!tools.length) {
    return [
      {
        id: `tools/${server}`,
        label: "Not asked for its tools yet",
        context: "tools.unknown",
        servers: [server],
      },
    ];
  }
  return tools.map((each) => {
    const effect = each.tier === "destructive" ? "may destroy" : (each.tier ?? "");
    const size = each.tokens === undefined ? "" : `${tokens(each.tokens)} tokens`;
    const facts = [each.offered ? "" : "not offered", size, effect].filter(Boolean);
    return {
      id: `tool/${each.name}`,
      label: plain(each.tool),
      description: facts.join(" · "),
      icon: each.offered ? "symbol-method" : "circle-slash",
      tooltip: plain(each.description).slice(0, 2000),
      spoken: [plain(each.tool), "tool", ...facts].join(", "),
      context: `tool.${each.offered ? "offered" : "off"}`,
      servers: [server],
      tool: each.tool,
    };
  });
}

/** The rows of the view Calls, the latest first. */
export function callRows(calls: readonly Call[]): Row[] {
  return calls.map((each) => {
    const failed = FAILED.has(each.outcome);
    const what = plain(`${each.server} ${each.tool ?? each.method}`);
    const facts = [clock(each.at), milliseconds(each.ms), plain(whoOf(each))];
    return {
      id: `call/${each.id}`,
      label: what,
      description: facts.join(" · "),
      icon: failed ? "error" : each.outcome === "ok" ? "pass" : "circle-slash",
      ...(failed && { color: "list.errorForeground" }),
      tooltip: [what, ...facts, each.error ?? ""].filter(Boolean).map(plain).join("\n"),
      spoken: [what, each.outcome, ...facts].join(", "),
      context: "call",
      command: "mcpgateway.showCall",
      servers: [each.server],
    };
  });
}

/** A sentence begins with a capital letter. */
export function sentence(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
