/** Numbers, times and sizes as the pages show them; the same words as those of `mcpgateway status`. */

/** What is shown for a value that is not known. */
export const UNKNOWN = "—";

const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const decimal = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

/** A count: `1,204`. */
export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? UNKNOWN : number.format(value);
}

/** A count with its noun: `1 tool`, `2 tools`. */
export function counted(value: number, noun: string, plural = `${noun}s`): string {
  return `${count(value)} ${value === 1 ? noun : plural}`;
}

/** Megabytes: `88 MB`, `2.9 GB`; unknown if none are measured. */
export function memory(megabytes: number | null | undefined): string {
  if (megabytes === null || megabytes === undefined) return UNKNOWN;
  if (Math.abs(megabytes) < 1024) return `${number.format(megabytes)} MB`;
  return `${decimal.format(megabytes / 1024)} GB`;
}

/** A saving, or its opposite, with the word for it: `3 saved`, `50 MB more than without the gateway`. */
export function compared(
  saved: number | null | undefined,
  show: (amount: number | null | undefined) => string,
  what: string,
): [value: string, what: string] {
  const isMore = typeof saved === "number" && saved < 0;
  return isMore ? [show(-saved), `${what} more than without the gateway`] : [show(saved), `${what} saved`];
}

const UNITS: [string, number][] = [
  ["d", 86_400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];

/** Where a server runs that not every node of the cluster runs; empty for others. */
export function placing(server: { instances?: string; on?: string[]; nodes?: string[] }): string {
  const { instances, on = [], nodes } = server;
  if (!nodes) return "";
  const where = nodes.join(", ") || "no node";
  const labels = on.length ? ` with ${on.join(", ")}` : "";
  return instances === "one" ? `at one node${labels}: ${where} now` : `at nodes${labels}: ${where}`;
}

/** A duration by its two largest units: `3 d 4 h`, `12 min`, `5 s`. */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return UNKNOWN;
  let left = Math.max(0, Math.floor(seconds));
  const first = UNITS.findIndex(([, each]) => left >= each);
  if (first < 0) return "0 s";
  const parts: string[] = [];
  for (const [unit, each] of UNITS.slice(first, first + 2)) {
    const amount = Math.floor(left / each);
    left -= amount * each;
    if (amount) parts.push(`${amount} ${unit}`);
  }
  return parts.join(" ");
}

/** The seconds since a moment, by a clock in milliseconds. */
export function sinceStart(moment: string, now: number): number {
  return (now - new Date(moment).getTime()) / 1000;
}

/** A latency: `4 ms`, `1.2 s`. */
export function milliseconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  return value < 1000 ? `${number.format(value)} ms` : `${decimal.format(value / 1000)} s`;
}

/** A sum of latencies: `840 ms`, `5 s`, `3 min 2 s`. */
export function spent(value: number): string {
  return value < 1000 ? milliseconds(value) : duration(value / 1000);
}

/** Tokens of a model's context: `320`, `6.1 k`, `1.9 M`. */
export function tokens(value: number | null | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  if (value < 1000) return number.format(value);
  return value < 1_000_000 ? `${decimal.format(value / 1000)} k` : `${decimal.format(value / 1_000_000)} M`;
}

/** A share: `0.8 %`. */
export function percent(share: number): string {
  return `${decimal.format(share * 100)} %`;
}

/** The time of day of a moment; its date too, where that is not today. */
export function clock(moment: string | number, now = new Date()): string {
  const at = new Date(moment);
  if (Number.isNaN(at.getTime())) return UNKNOWN;
  const isToday = at.toDateString() === now.toDateString();
  return isToday ? at.toLocaleTimeString() : at.toLocaleString();
}

const STAMP = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?)(Z|[+-]\d\d:?\d\d) /;

/** A line of a log with its time in the browser's time zone and locale; a line without one stays as it is. */
export function logged(line: string, now = new Date()): string {
  const [stamp, moment = "", zone = ""] = STAMP.exec(line) ?? [];
  const at = new Date(moment.slice(0, 23) + zone.replace(/(\d\d)(\d\d)$/, "$1:$2"));
  if (!stamp || Number.isNaN(at.getTime())) return line;
  const fraction = moment.includes(".") ? 3 : undefined;
  const time = at.toLocaleTimeString(undefined, {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    fractionalSecondDigits: fraction,
  } as Intl.DateTimeFormatOptions);
  const day = at.toDateString() === now.toDateString() ? "" : `${at.toLocaleDateString()} `;
  return `${day}${time} ${line.slice(stamp.length)}`;
}

// All control and format characters but tabs and line feeds.
const HIDDEN = /[^\P{Cc}\t\n]|\p{Cf}/gu;

/**
 * A foreign text with its control and direction characters made visible.
 *
 * Names, descriptions and logs of servers are hostile until shown otherwise (Unicode TR36, section 2.10).
 */
export function plain(text: string): string {
  return text.replace(HIDDEN, (each) => `\\u{${each.codePointAt(0)?.toString(16)}}`);
}

const ACCESS: Record<string, string> = {
  enabled: "every client needs a token",
  "loopback-trusted": "clients of this machine need no token, except for changes",
  disabled: "clients of this machine need no token, not even for changes",
};

/** Return who needs a token, of the word for it in `GET /api/v1/overview`. */
export function access(auth: string): string {
  return ACCESS[auth] ?? auth;
}
