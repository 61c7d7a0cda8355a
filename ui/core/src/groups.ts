/** Groups of servers that people look at as one thing, each in the state of its worst server. */

import type { Server } from "./model";

/** A group of servers, with the heading above all groups of its rule. */
export interface ServerGroup {
  name: string;
  title: string;
  status: string;
  servers: Server[];
}

/** The worst is first, as in `mcpgateway status`; a server that a user has switched off is better than all of these. */
export const WORST_FIRST = [
  "failed",
  "error",
  "disabled",
  "not ready",
  "unreachable",
  "needs login",
  "degraded",
  "restarting",
  "starting",
  "running",
  "asleep",
  "idle",
  "stopped",
];

function rank(server: Server): number {
  return server.enabled ? Math.max(0, WORST_FIRST.indexOf(server.state)) : WORST_FIRST.length;
}

/** Return the groups of servers, in the order of their first servers, and the servers that are in none. */
export function grouped(servers: readonly Server[]): { groups: ServerGroup[]; others: Server[] } {
  const groups = new Map<string, ServerGroup>();
  const others: Server[] = [];
  for (const each of servers) {
    if (!each.group) {
      others.push(each);
      continue;
    }
    const key = JSON.stringify([each.group_title, each.group]);
    const group = groups.get(key) ?? { name: each.group, title: each.group_title, status: "", servers: [] };
    group.servers.push(each);
    groups.set(key, group);
  }
  for (const group of groups.values()) {
    group.status = [...group.servers].sort((one, other) => rank(one) - rank(other))[0]?.state ?? "";
  }
  return { groups: [...groups.values()], others };
}
