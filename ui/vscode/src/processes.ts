/** The processes of this machine and their parents. */

import { readdir, readFile } from "node:fs/promises";
import { ran } from "./program";

/** Return the nearest of some processes that a process descends from, or is; undefined for none. */
export function ancestorIn(
  pid: number,
  parents: ReadonlyMap<number, number>,
  among: ReadonlySet<number>,
): number | undefined {
  const seen = new Set<number>();
  for (let at: number | undefined = pid; at !== undefined && !seen.has(at); at = parents.get(at)) {
    if (among.has(at)) return at;
    seen.add(at);
  }
  return undefined;
}

/** Return the parents of all processes of this machine, by their numbers. */
export async function parentsOfAll(): Promise<Map<number, number>> {
  const found = new Map<number, number>();
  if (process.platform === "linux") {
    for (const name of await readdir("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      // The name of a program, in brackets, may have any characters.
      const text = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
      const parent = /^\S+ (\d+)/.exec(text.slice(text.lastIndexOf(")") + 2))?.[1];
      if (parent) found.set(Number(name), Number(parent));
    }
    return found;
  }
  if (process.platform === "win32") return found;
  const { out } = await ran("/bin/ps", ["-A", "-o", "pid=,ppid="], 10_000);
  for (const line of out.split("\n")) {
    const [pid, parent] = line.trim().split(/\s+/).map(Number);
    if (pid && parent) found.set(pid, parent);
  }
  return found;
}
