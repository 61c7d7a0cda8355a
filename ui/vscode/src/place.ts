/** Where the gateway is: at the Unix socket of its home, or at a URL; and how its latest run has ended. */

import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";

/** The address of a gateway. */
export interface Place {
  /** The directory of the gateway's own files on this machine. */
  home: string;
  /** The path of its Unix socket; empty for a gateway at a URL. */
  socket: string;
  /** The scheme, host and port; of one at its socket, a name for the `Host` header. */
  base: string;
}

/** The surroundings of the extension, as far as they say where the gateway is. */
export interface Surroundings {
  environ: Record<string, string | undefined>;
  userHome: string;
  temporary: string;
  uid: number;
  hasSockets: boolean;
}

const SOCKET_LIMIT = 100; // bytes, as in mcpgateway.shim.locations
const LOCAL = "http://localhost";
const USUAL_PORT = 9100;

/** Return the gateway's home: the chosen one, `MCPGATEWAY_HOME`, or `~/.mcp-gateway`. */
export function homeOf(chosen: string, { environ, userHome }: Surroundings): string {
  const home = chosen || environ.MCPGATEWAY_HOME || "~/.mcp-gateway";
  return resolve(home.replace(/^~(?=\/|$)/, userHome));
}

/** Return the path of the Unix socket of a home: a path that is too long stands for one in a private directory. */
export function socketOf(home: string, { environ, temporary, uid }: Surroundings): string {
  const path = `${home}/gateway.sock`;
  if (Buffer.byteLength(path) <= SOCKET_LIMIT) return path;
  const base = environ.XDG_RUNTIME_DIR || `${temporary}/mcpgateway-${uid}`;
  return `${base.replace(/\/+$/, "")}/${createHash("sha256").update(home).digest("hex").slice(0, 16)}.sock`;
}

/**
 * Return where the gateway is.
 *
 * @throws Error the URL cannot be used.
 */
export function placeOf(settings: { url: string; home: string }, around: Surroundings): Place {
  const home = homeOf(settings.home, around);
  if (settings.url) return { home, socket: "", base: baseOf(settings.url) };
  if (around.hasSockets) return { home, socket: socketOf(home, around), base: LOCAL };
  return { home, socket: "", base: `${LOCAL}:${USUAL_PORT}` };
}

function baseOf(url: string): string {
  const found = URL.canParse(url) ? new URL(url) : undefined;
  if (!found || !/^https?:$/.test(found.protocol) || found.username || found.password)
    throw new Error(`mcpgateway.url: ${url} is no address such as http://localhost:9100`);
  return found.origin;
}

/** Return whether a gateway is one of this machine, which the extension may start. */
export function isOwn(place: Place): boolean {
  return (
    place.socket !== "" || /^https?:\/\/(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::|$)/.test(place.base)
  );
}

/** How a gateway that does not answer has ended: by a crash, in order, or by the user's `mcpgateway stop`. */
export type Ending = "crashed" | "ended" | "stopped";

/**
 * Return how the latest gateway of a home has ended.
 *
 * @param bootedAt the start of the machine, in milliseconds since the epoch: a stop counts until then.
 */
export function endingOf(home: string, bootedAt: number): Ending {
  const stopped = statSync(`${home}/stopped`, { throwIfNoEntry: false });
  if (stopped && stopped.mtimeMs >= bootedAt) return "stopped";
  // A gateway that ends in order removes the record of its state.
  return statSync(`${home}/state.json`, { throwIfNoEntry: false }) ? "crashed" : "ended";
}

/** Return the port at which the gateway of a home serves clients; undefined where it is not known. */
export function portOf(home: string): number | undefined {
  try {
    const { port } = JSON.parse(readFileSync(`${home}/state.json`, "utf8")) as { port?: unknown };
    return typeof port === "number" && port > 0 ? port : undefined;
  } catch {
    return undefined;
  }
}
