/** A unified diff as the two texts of a diff editor: only its hunks, and secrets masked, as the gateway gives them. */

export interface Sides {
  before: string;
  after: string;
}

const HUNK = /^@@ -(\d+)/;

/** Return both sides of a diff, with a line for what is left out between its hunks. */
export function sidesOf(lines: readonly string[]): Sides {
  const before: string[] = [];
  const after: string[] = [];
  for (const line of lines) {
    const [, start] = HUNK.exec(line) ?? [];
    if (start !== undefined) {
      if (Number(start) > 1 || before.length || after.length)
        for (const side of [before, after]) side.push("⋯");
      continue;
    }
    if (/^(?:---|\+\+\+) /.test(line) && !before.length && !after.length) continue;
    if (line.startsWith("-")) before.push(line.slice(1));
    else if (line.startsWith("+")) after.push(line.slice(1));
    else if (!line.startsWith("\\")) for (const side of [before, after]) side.push(line.slice(1));
  }
  const text = (side: string[]) => side.map((each) => `${each}\n`).join("");
  return { before: text(before), after: text(after) };
}
