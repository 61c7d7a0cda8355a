/** A value as YAML 1.2, to be read: what a file of the gateway would hold. */

const PLAIN = /^[A-Za-z_/.~][\w/.~@%+ -]*$/;
const WORDS = new Set(["true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"]);

/** Return a value as lines of YAML. */
export function yaml(value: unknown, depth = 0): string {
  const indent = "  ".repeat(depth);
  if (Array.isArray(value) && value.length)
    return value.map((each) => `${indent}- ${below(each, depth)}`).join("\n");
  if (isMapping(value) && Object.keys(value).length)
    return Object.entries(value)
      .map(
        ([name, each]) =>
          `${indent}${scalar(name)}:${isDeep(each) ? `\n${yaml(each, depth + 1)}` : ` ${scalar(each)}`}`,
      )
      .join("\n");
  return indent + scalar(value);
}

function below(value: unknown, depth: number): string {
  return isDeep(value) ? yaml(value, depth + 1).trimStart() : scalar(value);
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isDeep(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length > 0;
}

function scalar(value: unknown): string {
  if (typeof value !== "string") return JSON.stringify(value);
  const isPlain = PLAIN.test(value) && !WORDS.has(value.toLowerCase()) && value.trim() === value;
  return isPlain ? value : JSON.stringify(value);
}
