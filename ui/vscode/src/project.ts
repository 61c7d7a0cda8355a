/** The file by which a project says whether it uses the gateway: `.vscode/mcpgateway.json`. */

import { isObject } from "@mcpgateway/core/form";

/** The files, the one that counts first; the other is that of the extension of ImmorTerm. */
export const FILES = [".vscode/mcpgateway.json", ".vscode/immorterm-config.json"] as const;

export interface Project {
  /** Whether the project is to use the gateway; undefined where no file says so. */
  isEnabled: boolean | undefined;
  /** The profile whose tools the chat gets; empty for that of the settings. */
  profile: string;
}

export const SILENT: Project = { isEnabled: undefined, profile: "" };
const PROFILE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Return what a file says; a file that cannot be read says nothing. */
export function projectOf(text: string): Project {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    return SILENT;
  }
  // The other extension keeps the answer with those to its other questions.
  const own = [found, member(found, "mcpGateway"), member(found, "mcp")].find(
    (each) => flagOf(each) !== undefined,
  );
  const profile = member(found, "profile");
  return {
    isEnabled: flagOf(own),
    profile: typeof profile === "string" && PROFILE.test(profile) ? profile : "",
  };
}

function member(found: unknown, name: string): unknown {
  return isObject(found) ? found[name] : undefined;
}

function flagOf(found: unknown): boolean | undefined {
  if (typeof found === "boolean") return found;
  const flag = member(found, "enabled");
  return typeof flag === "boolean" ? flag : undefined;
}

/** Return the text of a file with another answer, which keeps all else that it says. */
export function answered(text: string, { isEnabled, profile }: Project): string {
  let former: Record<string, unknown> = {};
  try {
    const found: unknown = JSON.parse(text);
    if (isObject(found)) former = found;
  } catch {
    // It is written anew.
  }
  const { profile: _, ...others } = former;
  return `${JSON.stringify({ ...others, enabled: isEnabled, ...(profile && { profile }) }, null, 2)}\n`;
}
