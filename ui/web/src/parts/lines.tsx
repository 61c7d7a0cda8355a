/** A number over time as a line, drawn as SVG; a gap stands where it is not known. */

import { clock } from "@mcpgateway/core/words";

const WIDTH = 240;
const HEIGHT = 28;

export interface Point {
  at: string;
  value: number | null;
}

/** A small line with its largest value in words. */
export function Line({
  points,
  what,
  show,
}: {
  points: Point[];
  what: string;
  show: (value: number) => string;
}) {
  const known = points.flatMap((each) => each.value ?? []);
  if (known.length < 2) return null;
  const most = Math.max(1, ...known);
  const step = WIDTH / (points.length - 1);
  const path = points
    .map(({ value }, index) =>
      value === null
        ? ""
        : `${points[index - 1]?.value == null ? "M" : "L"}${index * step} ${HEIGHT - (value / most) * (HEIGHT - 2)}`,
    )
    .join("");
  const first = points.find((each) => each.value !== null);
  const label = `${what} since ${clock(first?.at ?? "")}: ${show(Math.min(...known))} to ${show(most)}`;
  return (
    <svg class="line" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label}>
      <title>{label}</title>
      <path d={path} />
    </svg>
  );
}
