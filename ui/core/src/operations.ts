/** What can be done to a server: the route of each operation, and what came of it. */

import type { Server } from "./model";

/** Return the path of a server's route. */
export function serverPath(name: string, ...rest: string[]): string {
  return ["/api/v1/servers", encodeURIComponent(name), ...rest].join("/");
}

/** Return what came of the start of a server, of its state when the wait was over. */
export function outcome(server: Server): { text: string; isError: boolean } {
  const { name, need, pids, state } = server;
  if (need) return { text: `${name} could not be started: ${need.says}`, isError: true };
  const isUp = pids.length > 0 || state === "running";
  return { text: isUp ? `${name} is started` : `${name} is ${state}`, isError: false };
}

const NAMED = /^(?:env|headers)\./;

/** Return the words for setting a dotted key of a server's entry. */
export function setting(key: string): string {
  return NAMED.test(key) ? `Set ${key.replace(NAMED, "")}` : `Change ${key}`;
}
