/** Sorting and filtering of rows. */

export interface Order {
  column: string;
  isDescending: boolean;
}

export type Cell = string | number | null | undefined;

/** Return the rows in an order; unknown cells come last, and equal rows keep their places. */
export function sorted<T>(rows: readonly T[], cell: (row: T) => Cell, isDescending: boolean): T[] {
  const sign = isDescending ? -1 : 1;
  return [...rows].sort((one, other) => {
    const left = cell(one);
    const right = cell(other);
    if (left === right) return 0;
    if (left === null || left === undefined) return 1;
    if (right === null || right === undefined) return -1;
    if (typeof left === "number" && typeof right === "number") return (left - right) * sign;
    return String(left).localeCompare(String(right), undefined, { numeric: true }) * sign;
  });
}

/** Return the order after a click on a column: that column, and descending at the second click. */
export function ordered(former: Order, column: string): Order {
  return { column, isDescending: former.column === column && !former.isDescending };
}

/** Return whether a text holds every word of a query. */
export function matches(text: string, query: string): boolean {
  const held = text.toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => held.includes(word));
}
