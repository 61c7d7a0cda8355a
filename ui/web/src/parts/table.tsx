/** Tables: sorted by a click on a column, filtered by the caller, and drawn in part where they are long. */

import { type Cell, type Order, ordered, sorted } from "@mcpgateway/core/tables";
import { plain } from "@mcpgateway/core/words";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

export interface Column<T> {
  name: string;
  title: string;
  /** What is shown. */
  show: (row: T) => ComponentChildren;
  /** What it is sorted by; without it the column is not sortable. */
  by?: (row: T) => Cell;
  isNumber?: boolean;
  /** Left out where the window is narrow. */
  isMinor?: boolean;
}

export interface TableProps<T> {
  caption: string;
  columns: Column<T>[];
  rows: readonly T[];
  id: (row: T) => string;
  order: Order;
  empty: ComponentChildren;
  /** The rows that are selected, where rows can be. */
  chosen?: ReadonlySet<string>;
  onChoose?: (chosen: ReadonlySet<string>) => void;
}

const ALL_DRAWN = 200;
const ROW_PX = 33;
const AROUND = 20;
const SHOWN = 80;
/** The rows that are drawn at once; the others follow when the browser has shown these. */
const DRAWN_FIRST = 25;

/** A table with a row per item; of more than 200 rows only those in view are drawn. */
export function Table<T>(props: TableProps<T>) {
  const { columns, id, chosen, onChoose } = props;
  const [order, setOrder] = useState(props.order);
  const [first, setFirst] = useState(0);
  const [isWhole, setWhole] = useState(false);
  useEffect(() => {
    // After a frame, so that what is in view is seen before the rest is drawn.
    const frame = requestAnimationFrame(() => setTimeout(() => setWhole(true)));
    return () => cancelAnimationFrame(frame);
  }, []);
  const place = useRef<HTMLDivElement>(null);
  // A row that is moved loses the focus.
  const held = place.current?.contains(document.activeElement) ? document.activeElement : undefined;
  useLayoutEffect(() => {
    if (held instanceof HTMLElement && held !== document.activeElement) held.focus({ preventScroll: true });
  });
  const by = columns.find((each) => each.name === order.column)?.by;
  const rows = by ? sorted(props.rows, by, order.isDescending) : props.rows;
  if (!rows.length) return <p class="empty">{props.empty}</p>;
  const isLong = rows.length > ALL_DRAWN;
  const start = isLong ? Math.min(first, Math.max(0, rows.length - SHOWN)) : 0;
  const inView = isLong ? rows.slice(start, start + SHOWN) : rows;
  const drawn = isWhole ? inView : inView.slice(0, DRAWN_FIRST);
  const scrolled = () => {
    if (isLong && place.current) setFirst(Math.max(0, Math.floor(place.current.scrollTop / ROW_PX) - AROUND));
  };
  const choose = (which: readonly T[], isChosen: boolean) => {
    const made = new Set(chosen);
    for (const each of which) made[isChosen ? "add" : "delete"](id(each));
    onChoose?.(made);
  };
  const box = (label: string, which: readonly T[]) =>
    onChoose && (
      <td class="choose">
        <input
          type="checkbox"
          aria-label={label}
          checked={which.every((each) => chosen?.has(id(each)))}
          onChange={(event) => choose(which, event.currentTarget.checked)}
        />
      </td>
    );
  const space = (count: number) =>
    count > 0 && (
      <tr aria-hidden="true">
        <td
          colSpan={columns.length + (onChoose ? 1 : 0)}
          class="space"
          style={{ height: `${count * ROW_PX}px` }}
        />
      </tr>
    );
  return (
    // A region that scrolls is reached with the keyboard.
    <div
      class={isLong ? "rows long" : "rows"}
      ref={place}
      onScroll={scrolled}
      tabIndex={0}
      role="region"
      aria-label={props.caption}
    >
      <table aria-rowcount={rows.length + 1}>
        <caption class="unseen">{props.caption}</caption>
        <thead>
          <tr>
            {box("Select all rows", rows)}
            {columns.map((each) => (
              <Heading key={each.name} column={each} order={order} onSort={setOrder} />
            ))}
          </tr>
        </thead>
        <tbody>
          {space(start)}
          {drawn.map((row, index) => (
            <tr key={id(row)} data-id={id(row)} aria-rowindex={start + index + 2}>
              {box(`Select ${plain(id(row))}`, [row])}
              {columns.map((each, position) => (
                <TableCell key={each.name} column={each} isHead={position === 0}>
                  {each.show(row)}
                </TableCell>
              ))}
            </tr>
          ))}
          {space(rows.length - start - drawn.length)}
        </tbody>
      </table>
    </div>
  );
}

function TableCell<T>(props: { column: Column<T>; isHead: boolean; children: ComponentChildren }) {
  const { column, isHead, children } = props;
  const kind = classes(column);
  return isHead ? (
    <th scope="row" class={kind}>
      {children}
    </th>
  ) : (
    <td class={kind} data-title={column.title}>
      {children}
    </td>
  );
}

function classes<T>(column: Column<T>): string {
  return [column.isNumber && "number", column.isMinor && "minor"].filter(Boolean).join(" ");
}

function Heading<T>(props: { column: Column<T>; order: Order; onSort: (order: Order) => void }) {
  const { column, order, onSort } = props;
  const isOrder = order.column === column.name;
  const direction = order.isDescending ? "descending" : "ascending";
  if (!column.by)
    return (
      <th scope="col" class={classes(column)}>
        {column.title}
      </th>
    );
  return (
    <th scope="col" class={classes(column)} aria-sort={isOrder ? direction : "none"}>
      <button type="button" class="sort" onClick={() => onSort(ordered(order, column.name))}>
        {column.title}
        <span aria-hidden="true">{isOrder ? (order.isDescending ? " ▾" : " ▴") : ""}</span>
      </button>
    </th>
  );
}
