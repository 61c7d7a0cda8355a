/** Longer texts that are shown in an editor of their own. */

import { plain } from "@mcpgateway/core/words";

/** A finding of `mcpgateway doctor`. */
export interface Finding {
  id: string;
  level: "ok" | "note" | "warning" | "error" | string;
  text: string;
  advice: string;
  run: string;
  fixable: boolean;
  more: string[];
  repair: string;
}

/** What `mcpgateway doctor` has found. */
export interface Examined {
  findings: Finding[];
}

/**
 * Return the answer of `mcpgateway doctor --json`.
 *
 * @throws Error there is none.
 */
export function examinedIn(out: string): Examined {
  try {
    return JSON.parse(out) as Examined;
  } catch {
    throw new Error("The program mcpgateway is not found, or too old");
  }
}

/** The findings of the doctor, the worst first. */
export function doctorText(findings: readonly Finding[]): string {
  const of = (level: string) => findings.filter((each) => each.level === level);
  const lines = (each: Finding) =>
    [`- ${each.text}`, ...each.more.map((more) => `  ${more}`), each.advice ? `  ${each.advice}` : ""].filter(
      Boolean,
    );
  const known = ["error", "warning", "note", "ok"];
  const others = findings.filter((each) => !known.includes(each.level));
  return written([
    ["Faults", [...of("error"), ...others].flatMap(lines)],
    ["Warnings", of("warning").flatMap(lines)],
    ["Notes", of("note").flatMap(lines)],
    ["In order", of("ok").flatMap(lines)],
  ]);
}

function written(parts: readonly [heading: string, lines: string[]][]): string {
  return parts
    .map(([heading, lines]) => [heading, lines.filter(Boolean)] as const)
    .filter(([, lines]) => lines.length)
    .map(([heading, lines]) => `${plain(heading)}\n\n${lines.map(plain).join("\n")}\n`)
    .join("\n");
}
