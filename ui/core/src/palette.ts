/** What the words of a query find in the command palette. */

const KINDS = ["page", "server", "action", "client", "tool", "tab"] as const;

/** A row of the palette. */
export interface Entry {
  kind: (typeof KINDS)[number];
  text: string;
  /** Further words that find it. */
  words?: string;
}

/** The rows that are shown of those that a query finds, best first. */
export interface Found<T> {
  shown: T[];
  /** The number of all that are found. */
  total: number;
}

const SHOWN = 50;
const EXACT = 4;
const START = 3;
const WITHIN = 2;
const FUZZY = 1;
const FUZZY_FROM = 3; // two letters in some order are in most words

/** Return the entries that have each word of a query, in its order of likeness; all in theirs without a query. */
export function find<T extends Entry>(entries: readonly T[], query: string): Found<T> {
  const wanted = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!wanted.length) return { shown: entries.slice(0, SHOWN), total: entries.length };
  const found: { entry: T; score: number }[] = [];
  for (const entry of entries) {
    const score = scored(entry, wanted);
    if (score) found.push({ entry, score });
  }
  found.sort(
    (one, other) =>
      other.score - one.score ||
      KINDS.indexOf(one.entry.kind) - KINDS.indexOf(other.entry.kind) ||
      one.entry.text.length - other.entry.text.length,
  );
  return { shown: found.slice(0, SHOWN).map((each) => each.entry), total: found.length };
}

function scored({ text, words = "" }: Entry, wanted: readonly string[]): number {
  let sum = 0;
  for (const word of wanted) {
    // A word that is shown counts more than one that is not.
    const likeness = Math.max(like(text, word), like(words, word) - 0.5);
    if (likeness <= 0) return 0;
    sum += likeness;
  }
  return sum;
}

const BORDER = /(?<=\p{Ll})(?=\p{Lu})|[^\p{L}\p{N}]+/u;

function like(text: string, wanted: string): number {
  const parts = text
    .split(BORDER)
    .filter(Boolean)
    .map((each) => each.toLowerCase());
  if (parts.includes(wanted)) return EXACT;
  if (parts.some((each) => each.startsWith(wanted))) return START;
  if (text.toLowerCase().includes(wanted)) return WITHIN;
  if (wanted.length < FUZZY_FROM) return 0;
  return parts.some((each) => isLeftOf(wanted, each)) || isWalk(wanted, parts) ? FUZZY : 0;
}

/** Return whether a word begins with the first letter of another one, and has the rest of its letters in order. */
function isLeftOf(wanted: string, word: string): boolean {
  if (wanted[0] !== word[0]) return false;
  let at = 0;
  for (const letter of word) if (letter === wanted[at]) at++;
  return at === wanted.length;
}

/** Return whether letters are the beginnings of some of the words, in order: `gli` of `github list_issues`. */
function isWalk(wanted: string, parts: readonly string[]): boolean {
  const [first, ...rest] = parts;
  if (!wanted) return true;
  if (first === undefined) return false;
  for (let many = 0; many <= wanted.length; many++) {
    if (!first.startsWith(wanted.slice(0, many))) return false;
    if (isWalk(wanted.slice(many), rest)) return true;
  }
  return false;
}
