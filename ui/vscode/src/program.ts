/** The program `mcpgateway`: where it is on this machine, and what it is called with. */

import { execFile } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";

/** Its names; other packages have some of them too, so a program is asked for its version. */
export const NAMES = ["mcpgateway", "mcp-gateway", "mcpd", "mcpg"];
const SUFFIX = process.platform === "win32" ? ".exe" : "";
const VERSION = /^mcpgateway (\d\S*)/;
const VERSION_LIMIT_MS = 20_000;
const SPEAKER = "mcpgateway: ";
const COMPLAINT_LIMIT = 400;
const OUTPUT_LIMIT = 4 * 1024 * 1024;

/** Where installers put programs that the PATH of an editor may lack. */
function usualDirectories(userHome: string): string[] {
  return [join(userHome, ".local", "bin"), join(userHome, "bin"), "/usr/local/bin", "/opt/homebrew/bin"];
}

/** Return the programs that may be the gateway's, the best first; a chosen one is the only one. */
export function candidates(chosen: string, path: string, userHome: string): string[] {
  if (chosen) {
    const at = chosen.replace(/^~(?=\/|$)/, userHome);
    return isAbsolute(at) ? [at] : candidatesIn(path, [at]);
  }
  const directories = [...path.split(delimiter), ...usualDirectories(userHome)];
  return candidatesIn(directories.join(delimiter), NAMES);
}

function candidatesIn(path: string, names: readonly string[]): string[] {
  // A relative directory would let the folder of a project choose the program.
  const directories = [...new Set(path.split(delimiter).filter(isAbsolute))];
  const found = names.flatMap((name) => directories.map((each) => join(each, name + SUFFIX)));
  return found.filter(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Return the sentence that there is no program; on Windows it names the way. */
export function absence(platform: string = process.platform): string {
  return platform === "win32"
    ? "mcpgateway runs on Windows in WSL: reopen the folder in WSL, and install mcpgateway there, in Linux"
    : "The program mcpgateway is not found";
}

/** A program of ours. */
export interface Program {
  path: string;
  version: string;
}

/** Return the first of the candidates that says it is the gateway's; undefined if none does. */
export async function firstOf(paths: readonly string[]): Promise<Program | undefined> {
  for (const path of paths) {
    const { out } = await ran(path, ["--version"], VERSION_LIMIT_MS);
    const version = VERSION.exec(out)?.[1];
    if (version) return { path, version };
  }
  return undefined;
}

/** What became of a program. */
export interface Ran {
  /** undefined: it could not be started, or took too long. */
  code: number | undefined;
  out: string;
  err: string;
}

/** The folder that a program runs in, and the text that it reads. */
export interface Given {
  folder?: string | undefined;
  input?: string;
}

/** Run a program without a terminal, and wait for its end. */
export function ran(
  path: string,
  args: readonly string[],
  limit_ms: number,
  { folder, input = "" }: Given = {},
): Promise<Ran> {
  return new Promise((resolve) => {
    const options = {
      cwd: folder,
      timeout: limit_ms,
      maxBuffer: OUTPUT_LIMIT,
      windowsHide: true,
      env: ownEnvironment(process.env),
    };
    const child = execFile(path, [...args], options, (why, out, err) => {
      const code = why ? (typeof why.code === "number" ? why.code : undefined) : 0;
      resolve({ code, out, err: err || (why && code === undefined ? why.message : "") });
    });
    // A program that ends at once reads nothing.
    child.stdin?.on("error", () => undefined).end(input);
  });
}

/** Return an environment without the editor's own variables, which would tell the gateway's servers that they run in it. */
export function ownEnvironment(environ: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environ).filter(([name]) => !/^(?:VSCODE|ELECTRON)_/.test(name)));
}

/** Return the arguments of a command of the program for a home. */
export function argumentsFor(home: string, words: readonly string[]): string[] {
  return ["--no-pager", "--home", home, ...words];
}

/** Return the sentence of a failure, with its remedy: what it printed last behind its own name. */
export function complaintOf({ code, out, err }: Ran): string {
  const refused = /^\{\s*"error":/.test(out) ? refusalIn(out) : "";
  if (refused) return refused.slice(0, COMPLAINT_LIMIT);
  const lines = `${out}\n${err}`
    .split("\n")
    .map((each) => each.trim())
    .filter(Boolean);
  const at = lines.findLastIndex((each) => each.startsWith(SPEAKER));
  const said = at < 0 ? lines.slice(-1) : lines.slice(at);
  const text = said.join("; ").slice(0, COMPLAINT_LIMIT).replace(SPEAKER, "");
  return text || (code === undefined ? "it did not end in time" : `it ended with ${code}`);
}

function refusalIn(out: string): string {
  try {
    const { error, hint } = JSON.parse(out) as { error: string; hint?: string };
    return [error, hint].filter(Boolean).join("; ");
  } catch {
    return "";
  }
}
