/** A JSON Schema of an object as the fields of a form: for a tool's arguments, an elicitation, or settings. */

export type Schema = Record<string, unknown>;
/** What a field holds while it is edited: a text, a check mark, or the chosen values of a list. */
export type Entry = string | boolean | string[];
export type Entries = Record<string, Entry>;

export interface Field {
  name: string;
  title: string;
  description: string;
  /** `json` is for values that have no field of their own: nested objects, unions, lists of objects. */
  kind: "text" | "lines" | "number" | "flag" | "choice" | "choices" | "json";
  isRequired: boolean;
  isWhole: boolean;
  isSecret: boolean;
  options: { value: string; title: string }[];
  schema: Schema;
}

const SECRET = /pass(word|phrase)?$|secret|token$|api_?key|credential|authorization/i;
const LONG = /\n/;

/** Return whether a value of that name is one that nothing may keep. */
export function isSecret(name: string, schema: Schema = {}): boolean {
  return schema.format === "password" || schema.writeOnly === true || SECRET.test(name);
}

/** Return the fields of an object's schema, the required ones first. */
export function fieldsOf(schema: unknown): Field[] {
  const whole = isObject(schema) ? schema : {};
  const required = new Set(Array.isArray(whole.required) ? whole.required : []);
  const properties = isObject(whole.properties) ? whole.properties : {};
  // An object takes no property of that name: it would be its prototype, which all objects share.
  const named = Object.entries(properties).filter(([name]) => name !== "__proto__");
  const found = named.map(([name, given]) => fieldOf(name, resolved(given, whole), required.has(name)));
  return found.sort((one, other) => Number(other.isRequired) - Number(one.isRequired));
}

function fieldOf(name: string, schema: Schema, isRequired: boolean): Field {
  const own = optionsOf(schema);
  const items = isObject(schema.items) ? schema.items : {};
  const type = typeOf(schema);
  let kind: Field["kind"] = "json";
  const options = type === "array" ? optionsOf(items) : own;
  if (own.length) kind = "choice";
  else if (options.length) kind = "choices";
  else if (type === "array" && typeOf(items) === "string") kind = "lines";
  else if (type === "string") kind = "text";
  else if (type === "number" || type === "integer") kind = "number";
  else if (type === "boolean") kind = "flag";
  return {
    name,
    title: text(schema.title) || name,
    description: text(schema.description),
    kind,
    isRequired,
    isWhole: type === "integer",
    isSecret: isSecret(name, schema),
    options,
    schema,
  };
}

/** Return the only type of a value beside null; empty where it may have several. */
function typeOf(schema: Schema): string {
  const types = (Array.isArray(schema.type) ? schema.type : [schema.type]).filter((each) => each !== "null");
  return types.length === 1 ? text(types[0]) : "";
}

/** Return the texts that a schema offers: `enum` with `enumNames`, or `oneOf`/`anyOf` of constants with titles. */
function optionsOf(schema: Schema): Field["options"] {
  if (Array.isArray(schema.enum) && schema.enum.every((each) => typeof each === "string")) {
    const names = Array.isArray(schema.enumNames) ? schema.enumNames : [];
    return schema.enum.map((value: string, at) => ({ value, title: text(names[at]) || value }));
  }
  const ways = [schema.oneOf, schema.anyOf].find(Array.isArray) ?? [];
  const isFixed = ways.every((each: unknown) => isObject(each) && typeof each.const === "string");
  return isFixed
    ? ways.map((each: Schema) => ({ value: text(each.const), title: text(each.title) || text(each.const) }))
    : [];
}

/** Follow a reference within the schema, and take the only way of a union that is not null. */
function resolved(given: unknown, whole: Schema): Schema {
  if (!isObject(given)) return {};
  if (typeof given.$ref === "string" && given.$ref.startsWith("#/")) {
    let found: unknown = whole;
    for (const part of given.$ref.slice(2).split("/")) found = isObject(found) ? found[part] : undefined;
    return isObject(found) && !found.$ref ? { ...found, ...given } : given;
  }
  const ways = Array.isArray(given.anyOf) ? given.anyOf.filter((each) => isObject(each)) : [];
  const others = ways.filter((each: Schema) => each.type !== "null");
  return ways.length === 2 && others.length === 1 ? { ...others[0], ...given, anyOf: undefined } : given;
}

/** Return the entries that show an object's values; a member without a value shows its default. */
export function entriesOf(fields: readonly Field[], values: Record<string, unknown> = {}): Entries {
  const found: Entries = {};
  for (const each of fields) found[each.name] = entryOf(each, values[each.name] ?? each.schema.default);
  return found;
}

function entryOf(field: Field, value: unknown): Entry {
  if (field.kind === "flag") return value === true;
  if (field.kind === "choices") return Array.isArray(value) ? value.map(String) : [];
  if (value === undefined || value === null) return "";
  if (field.kind === "json") return JSON.stringify(value);
  return field.kind === "lines" && Array.isArray(value) ? value.join("\n") : String(value);
}

export interface Filled {
  values: Record<string, unknown>;
  /** What is wrong with a field, by its name. */
  faults: Record<string, string>;
}

/** Return the object that the entries make; a field that is empty and not required is left out. */
export function filled(fields: readonly Field[], entries: Entries): Filled {
  const values: Record<string, unknown> = {};
  const faults: Record<string, string> = {};
  for (const field of fields) {
    const entry = own(entries, field.name) ?? "";
    if (isEmpty(field, entry)) {
      if (field.isRequired) faults[field.name] = "This value is needed";
      continue;
    }
    try {
      values[field.name] = read(field, entry);
    } catch (why) {
      faults[field.name] = why instanceof Error ? why.message : String(why);
    }
  }
  return { values, faults };
}

function isEmpty(field: Field, entry: Entry): boolean {
  if (field.kind === "flag") return entry === false && !field.isRequired && field.schema.default !== true;
  if (field.kind === "text") return entry === "" && !(field.isRequired && field.schema.minLength === 0);
  return typeof entry !== "boolean" && entry.length === 0;
}

function read(field: Field, entry: Entry): unknown {
  const { schema, kind } = field;
  if (kind === "flag" || kind === "choices" || typeof entry !== "string") return entry;
  if (kind === "lines") return entry.split(LONG).filter(Boolean);
  if (kind === "json") return parsed(entry);
  if (kind !== "number") return checked(entry, schema);
  const value = Number(entry);
  if (!Number.isFinite(value) || !entry.trim()) throw new Error("This is no number");
  if (field.isWhole && !Number.isInteger(value)) throw new Error("This is no whole number");
  if (typeof schema.minimum === "number" && value < schema.minimum)
    throw new Error(`The least is ${schema.minimum}`);
  if (typeof schema.maximum === "number" && value > schema.maximum)
    throw new Error(`The most is ${schema.maximum}`);
  return value;
}

function checked(entry: string, schema: Schema): string {
  if (typeof schema.minLength === "number" && entry.length < schema.minLength)
    throw new Error(`At least ${schema.minLength} characters are needed`);
  if (typeof schema.maxLength === "number" && entry.length > schema.maxLength)
    throw new Error(`At most ${schema.maxLength} characters are possible`);
  return entry;
}

/**
 * Return the value of a JSON text.
 *
 * @throws Error the text is no JSON.
 */
export function parsed(entry: string): unknown {
  try {
    return JSON.parse(entry);
  } catch (why) {
    throw new Error(`This is no JSON: ${why instanceof Error ? why.message : why}`);
  }
}

/** Return the schema of a prompt's arguments, all of which are texts. */
export function schemaOfArguments(args: readonly Record<string, unknown>[]): Schema {
  return {
    type: "object",
    properties: Object.fromEntries(
      args.map(({ name, title, description }) => [String(name), { type: "string", title, description }]),
    ),
    required: args.filter((each) => each.required === true).map((each) => String(each.name)),
  };
}

/** The variables of a URI template (RFC 6570) with simple expressions only; undefined where it has others. */
export function variablesOf(template: string): string[] | undefined {
  const found = [...template.matchAll(/\{([^{}]*)\}/g)].map((each) => each[1] ?? "");
  return found.length && found.every((each) => /^\w+$/.test(each)) ? [...new Set(found)] : undefined;
}

/** The URI of a template of simple expressions; what is not filled in stays as it is written. */
export function expanded(template: string, entries: Entries): string {
  return template.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const entry = entries[name];
    return typeof entry === "string" && entry ? encodeURIComponent(entry) : whole;
  });
}

/** The value of an object's own property; undefined where it has none of that name. */
export function own<T>(found: Record<string, T>, name: string): T | undefined {
  return Object.hasOwn(found, name) ? found[name] : undefined;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
