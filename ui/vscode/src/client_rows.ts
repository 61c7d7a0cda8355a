/** The rows of the view Clients: the files of clients, the sessions, and this window. */

import type { DetectedClient, EnrolledFile, Session } from "@mcpgateway/core/model";
import { counted, duration, plain } from "@mcpgateway/core/words";
import type { Row } from "./rows";

/** What the clients of this machine have to do with the gateway. */
export interface Clients {
  enrolled: readonly EnrolledFile[];
  detected: readonly DetectedClient[];
  sessions: readonly Session[];
  /** The titles of clients, by their names. */
  titles: ReadonlyMap<string, string>;
}

export function clientRows({ enrolled, detected, sessions, titles }: Clients, window: Row): Row[] {
  const paths = new Set(enrolled.map((each) => each.path));
  const others = detected.filter((each) => !paths.has(each.configPath));
  return [
    window,
    ...enrolled.map((each) => enrolledRow(each, titles.get(each.name) ?? each.name)),
    ...others.map(detectedRow),
    ...sessions.map(sessionRow),
  ];
}

function enrolledRow({ name, path, servers, suspended }: EnrolledFile, title: string): Row {
  const what = suspended
    ? "paused: it has its own entries"
    : `${counted(servers.length, "server")} by the gateway`;
  return {
    id: `client/${path}`,
    label: plain(title),
    description: what,
    icon: suspended ? "debug-pause" : "pass-filled",
    color: suspended ? "disabledForeground" : "testing.iconPassed",
    tooltip: [path, ...servers].map(plain).join("\n"),
    spoken: `${plain(title)}, ${what}`,
    context: "client.enrolled",
    client: { tool: name, path, label: title },
  };
}

function detectedRow({ tool, title = tool, configPath, files = [] }: DetectedClient): Row {
  const own = files.reduce((sum, { servers }) => sum + (servers.program ?? 0) + (servers.remote ?? 0), 0);
  const what = own ? `${counted(own, "server")} of its own` : "no servers";
  return {
    id: `client/${configPath}`,
    label: plain(title),
    description: what,
    icon: "circle-outline",
    tooltip: plain(configPath),
    spoken: `${plain(title)}, does not use the gateway, ${what}`,
    context: "client.detected",
    client: { tool, path: configPath, label: title },
  };
}

function sessionRow({ id, client, servers, server, idle_seconds, calls, pid, workspace }: Session): Row {
  const name = client.name || (pid ? `process ${pid}` : "a client");
  const at = servers.length > 1 ? counted(servers.length, "server") : servers[0] || server;
  const facts = [at, counted(calls, "call"), `idle ${duration(idle_seconds)}`];
  return {
    id: `session/${id}`,
    label: plain(name),
    description: plain(facts.join(" · ")),
    icon: "plug",
    tooltip: [name, client.version ?? "", workspace, pid ? `process ${pid}` : ""]
      .filter(Boolean)
      .map(plain)
      .join("\n"),
    spoken: plain(`session of ${name}, ${facts.join(", ")}`),
    context: "session",
    session: id,
  };
}
