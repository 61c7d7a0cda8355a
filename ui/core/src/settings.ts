/** Settings by their JSON Schema: the fields, the texts in them, and the changes that they come to. */

export interface Schema {
  description?: string;
  type?: string | string[];
  enum?: unknown[];
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  default?: unknown;
  $ref?: string;
}

/** How a value is typed: on a line, as one of several, on a line for each item, or as names with values. */
export type FieldKind = "text" | "number" | "choice" | "list" | "names" | "json";

export interface Field {
  /** The dotted key. */
  key: string;
  kind: FieldKind;
  says: string;
  choices: string[];
  fallback: unknown;
  /** Whether a text like `5` is a number, and `true` a truth value. */
  takes: string[];
}

/** Changes by dotted keys, as `PATCH` takes them. */
export interface Changes {
  set: Record<string, unknown>;
  unset: string[];
}

/** A text that is no value of its field; the message tells what is expected. */
export class NotFitting extends Error {}

type Values = Record<string, unknown>;

const ALIAS = "The same as ";
const MASKS = ["•••", "***REDACTED***"];

/** Return the fields of a section; keys below it that have keys of their own are fields too. */
export function fieldsOf(schema: Schema, above = ""): Field[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, each]) => fieldOf(`${above}${name}`, each));
}

function fieldOf(key: string, schema: Schema): Field[] {
  const says = (schema.description ?? "").replaceAll("``", "");
  if (says.startsWith(ALIAS)) return [];
  const branches = (schema.anyOf ?? [schema]).filter((each) => each.type !== "null");
  const inner = branches.find((each) => each.properties);
  if (inner) return fieldsOf(inner, `${key}.`);
  const takes = [...new Set(branches.flatMap((each) => each.type ?? []))].filter((each) => each !== "null");
  const found = { key, says, fallback: schema.default, takes, choices: [] as string[] };
  const named = branches.find((each) => each.enum);
  const isChoice = branches.every((each) => each.enum || each.type === "boolean" || isFlag(each));
  if (isChoice && branches.length && (named || takes.includes("boolean"))) {
    const all = branches.flatMap((each) => each.enum ?? [true, false]);
    const choices = [...new Set(all.filter((each) => each !== null && each !== "").map(String))];
    return [{ ...found, kind: "choice", choices }];
  }
  if (takes.includes("object")) return [{ ...found, kind: "names" }];
  if (takes.includes("string")) return [{ ...found, kind: "text" }];
  if (takes.includes("array")) return [{ ...found, kind: "list" }];
  if (takes.some((each) => each === "integer" || each === "number")) return [{ ...found, kind: "number" }];
  return []; // a note, or a setting whose value has a form of its own
}

function isFlag(schema: Schema): boolean {
  const types = [schema.type].flat();
  return types.includes("boolean") && types.every((each) => each === "boolean" || each === "null");
}

/** Return the value at a dotted key; undefined if there is none. */
export function valueAt(values: unknown, key: string): unknown {
  let found = values;
  for (const step of key.split(".")) {
    if (typeof found !== "object" || found === null || Array.isArray(found)) return undefined;
    found = (found as Values)[step];
  }
  return found;
}

/** Return the values that files set, by dotted keys, as the mappings that the files have. */
export function nested(values: Record<string, { value: unknown; from: string }>): Values {
  const made: Values = {};
  for (const [key, { value, from }] of Object.entries(values)) {
    if (!from.includes(":")) continue; // a default, or an option of the command line
    const steps = key.split(".");
    const last = steps.pop() ?? key;
    let place = made;
    for (const step of steps) {
      const inner = (place[step] ?? {}) as Values;
      place[step] = inner;
      place = inner;
    }
    place[last] = value;
  }
  return made;
}

/** Return whether a secret in a value is not shown. */
export function isMasked(value: unknown): boolean {
  const text = JSON.stringify(value) ?? "";
  return MASKS.some((each) => text.includes(each));
}

/** Return the kind in which a present value is typed: a list stays a list. */
export function kindFor(field: Field, value: unknown): FieldKind {
  if (field.kind !== "text") return field.kind;
  if (Array.isArray(value)) return "list";
  return typeof value === "object" && value !== null ? "json" : "text";
}

/** Return a value as the text of its field; empty for none. */
export function textOf(kind: FieldKind, value: unknown): string {
  if (value === undefined || value === null || (Array.isArray(value) && !value.length)) return "";
  if (kind === "list" && Array.isArray(value)) return value.map(String).join("\n");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/**
 * Return the value that a text of a field stands for; undefined for an empty text, which takes the key away.
 *
 * @throws NotFitting the text is no value of the field.
 */
export function valueFrom(field: Field, kind: FieldKind, text: string): unknown {
  if (kind === "list") return text.trim() ? text.split("\n").filter((each) => each !== "") : undefined;
  const given = text.trim();
  if (!given) return undefined;
  if (kind === "json") return parsed(field, given);
  if (kind === "choice" && (given === "true" || given === "false")) return given === "true";
  const isNumber = /^-?\d+(\.\d+)?$/.test(given);
  if (kind === "number" && !isNumber) throw new NotFitting(`${field.key}: a number is expected`);
  const takesNumber = field.takes.includes("number") || field.takes.includes("integer");
  return isNumber && takesNumber ? Number(given) : given;
}

function parsed(field: Field, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new NotFitting(`${field.key}: JSON is expected`);
  }
}

/** Return the changes that make the present values those of the drafts; an undefined draft takes its key away. */
export function changesOf(present: unknown, drafts: Record<string, unknown>): Changes {
  const changes: Changes = { set: {}, unset: [] };
  for (const [key, value] of Object.entries(drafts)) {
    const former = presentAt(present, key);
    if (value === undefined) {
      if (former !== undefined) changes.unset.push(key);
    } else if (!isSame(value, former)) changes.set[key] = value;
  }
  return changes;
}

/** Return the value at the key of a draft, where the rest behind `env.` or `headers.` is one name. */
export function presentAt(present: unknown, key: string): unknown {
  const [first = "", ...rest] = key.split(".");
  const held = valueAt(present, first);
  if (!["env", "headers"].includes(first) || !rest.length) return valueAt(present, key);
  if (!Array.isArray(held)) return (held as Values | undefined)?.[rest.join(".")];
  const pair = held.map(String).find((each) => each.startsWith(`${rest.join(".")}=`));
  return pair?.slice(pair.indexOf("=") + 1);
}

/** Return the names of a mapping, or of a list of NAME=value. */
export function namesIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.map((each) => String(each).split("=")[0] ?? "");
  return typeof value === "object" && value !== null ? Object.keys(value) : [];
}

/** Return the key, of those below `above`, that a refusal names; undefined if it names none. */
export function refusedKey(message: string, above: string): string | undefined {
  const at = ` ${message}`.indexOf(` ${above}`);
  return at < 0 ? undefined : /^[^\s:]+/.exec(message.slice(at + above.length))?.[0];
}

/** A key that somebody else has changed since a form was opened. */
export interface Conflict {
  key: string;
  before: unknown;
  now: unknown;
  /** Whether this form changes the key, too. */
  isMine: boolean;
}

/** Return what somebody else has changed, of all keys that either of the two versions has. */
export function conflictsOf(before: unknown, now: unknown, mine: Iterable<string>): Conflict[] {
  const own = [...mine];
  const keys = [...new Set([...leaves(before), ...leaves(now)])];
  return keys
    .filter((key) => !isSame(presentAt(before, key), presentAt(now, key)))
    .map((key) => ({
      key,
      before: presentAt(before, key),
      now: presentAt(now, key),
      isMine: own.some((each) => each === key || each.startsWith(`${key}.`) || key.startsWith(`${each}.`)),
    }));
}

function leaves(value: unknown, above = ""): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return above ? [above] : [];
  return Object.entries(value).flatMap(([name, each]) => leaves(each, above ? `${above}.${name}` : name));
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
