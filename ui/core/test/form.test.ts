import assert from "node:assert/strict";
import { test } from "node:test";
import { entriesOf, expanded, fieldsOf, filled, schemaOfArguments, variablesOf } from "../src/form";

const SCHEMA = {
  type: "object",
  required: ["city", "days"],
  properties: {
    note: { type: "string", title: "A note" },
    city: { type: "string", minLength: 2 },
    days: { type: "integer", minimum: 1, maximum: 9 },
    unit: { type: "string", enum: ["c", "f"], enumNames: ["Celsius", "Fahrenheit"], default: "c" },
    kind: { oneOf: [{ const: "a", title: "First" }, { const: "b" }] },
    parts: { type: "array", items: { type: "string", enum: ["wind", "rain"] } },
    names: { type: "array", items: { type: "string" } },
    exact: { type: "boolean" },
    where: { $ref: "#/$defs/place" },
    maybe: { anyOf: [{ type: "number" }, { type: "null" }] },
    api_key: { type: "string" },
  },
  $defs: { place: { type: "object", properties: { x: { type: "number" } } } },
};
const kinds = (schema: unknown) => Object.fromEntries(fieldsOf(schema).map((each) => [each.name, each.kind]));

test("each kind of a schema has a field, and the needed ones come first", () => {
  const fields = fieldsOf(SCHEMA);
  assert.deepEqual(
    fields.slice(0, 2).map((each) => each.name),
    ["city", "days"],
  );
  assert.deepEqual(kinds(SCHEMA), {
    city: "text",
    days: "number",
    note: "text",
    unit: "choice",
    kind: "choice",
    parts: "choices",
    names: "lines",
    exact: "flag",
    where: "json",
    maybe: "number",
    api_key: "text",
  });
  const of = (name: string) => fields.find((each) => each.name === name);
  assert.equal(of("note")?.title, "A note");
  assert.deepEqual(of("unit")?.options[1], { value: "f", title: "Fahrenheit" });
  assert.deepEqual(of("kind")?.options[1], { value: "b", title: "b" });
  assert.equal(of("api_key")?.isSecret, true);
});

test("entries become values of the schema's types; empty fields are left out", () => {
  const fields = fieldsOf(SCHEMA);
  const entries = {
    ...entriesOf(fields),
    city: "Rome",
    days: "3",
    names: "a\nb\n",
    where: '{"x": 1}',
    parts: ["rain"],
  };
  assert.deepEqual(filled(fields, entries), {
    values: { city: "Rome", days: 3, unit: "c", parts: ["rain"], names: ["a", "b"], where: { x: 1 } },
    faults: {},
  });
});

test("what does not fit is told at its field", () => {
  const fields = fieldsOf(SCHEMA);
  const { faults } = filled(fields, { ...entriesOf(fields), city: "R", days: "1.5", where: "{" });
  assert.deepEqual(Object.keys(faults), ["city", "days", "where"]);
  assert.equal(faults.days, "This is no whole number");
  assert.deepEqual(filled(fields, entriesOf(fields)).faults, {
    city: "This value is needed",
    days: "This value is needed",
  });
});

test("values that are shown again are the same values", () => {
  const fields = fieldsOf(SCHEMA);
  const values = { city: "Rome", days: 2, unit: "f", exact: true, names: ["a"], where: { x: 2 }, maybe: 0 };
  assert.deepEqual(filled(fields, entriesOf(fields, values)).values, values);
});

test("a schema that is none has no fields", () => {
  for (const each of [null, 5, "x", [], { properties: [] }, {}]) assert.deepEqual(fieldsOf(each), []);
  assert.deepEqual(
    kinds({ properties: { a: null, b: { $ref: "#/$defs/none" }, c: { type: ["string", "number"] } } }),
    {
      a: "json",
      b: "json",
      c: "json",
    },
  );
});

test("a prompt's arguments are texts, some of them needed", () => {
  const fields = fieldsOf(
    schemaOfArguments([{ name: "style" }, { name: "topic", required: true, title: "Topic" }]),
  );
  assert.deepEqual(
    fields.map((each) => [each.name, each.title, each.kind, each.isRequired]),
    [
      ["topic", "Topic", "text", true],
      ["style", "style", "text", false],
    ],
  );
});

test("a template of simple expressions has variables, and becomes a URI", () => {
  assert.deepEqual(variablesOf("file://{host}/{name}?x={host}"), ["host", "name"]);
  for (const each of ["", "file:///a", "x/{+path}", "x/{a}/{?b,c}", "x/{}"])
    assert.equal(variablesOf(each), undefined);
  assert.equal(expanded("x://{a}/{b}", { a: "ü /", b: "" }), "x://%C3%BC%20%2F/{b}");
});

test("names that every object has are names of fields like others, and its prototype is none", () => {
  const names = JSON.parse(
    '{"__proto__": {}, "constructor": {"type": "string"}, "toString": {"type": "string"}}',
  );
  const fields = fieldsOf({ properties: names, required: ["constructor"] });
  assert.deepEqual(
    fields.map((each) => each.name),
    ["constructor", "toString"],
  );
  const { values, faults } = filled(fields, {});
  assert.deepEqual(values, {});
  assert.deepEqual(Object.entries(faults), [["constructor", "This value is needed"]]);
});
