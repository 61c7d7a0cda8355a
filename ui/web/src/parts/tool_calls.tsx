/** The tools that were called: how often, how long, and how many calls failed. */

import type { Stats, ToolNumbers } from "@mcpgateway/core/model";
import { matches } from "@mcpgateway/core/tables";
import { clock, count, milliseconds, percent, plain, UNKNOWN } from "@mcpgateway/core/words";
import { useResource } from "../resource";
import { Bars, steps } from "./bars";
import { Empty, Refused, Section } from "./basics";
import { ServerLink } from "./server_link";
import { type Column, Table } from "./table";

type Row = ToolNumbers & { tool: string };

const COLUMNS: Column<Row>[] = [
  { name: "tool", title: "Tool", by: (each) => each.tool, show: (each) => <code>{plain(each.tool)}</code> },
  {
    name: "server",
    title: "Server",
    by: (each) => each.server,
    show: (each) => <ServerLink name={each.server} />,
  },
  {
    name: "calls",
    title: "Calls",
    by: (each) => each.calls,
    show: (each) => count(each.calls),
    isNumber: true,
  },
  {
    name: "errors",
    title: "Errors",
    by: (each) => each.errors,
    show: (each) => <span class={each.errors ? "bad" : undefined}>{count(each.errors)}</span>,
    isNumber: true,
  },
  {
    name: "rate",
    title: "Error rate",
    by: (each) => each.errorRate,
    show: (each) => percent(each.errorRate),
    isNumber: true,
    isMinor: true,
  },
  {
    name: "mean",
    title: "Mean",
    by: (each) => each.avgMs,
    show: (each) => milliseconds(each.avgMs),
    isNumber: true,
  },
  {
    name: "p99",
    title: "p99",
    by: (each) => each.p99Ms,
    show: (each) => milliseconds(each.p99Ms),
    isNumber: true,
  },
  {
    name: "last",
    title: "Last call",
    by: (each) => each.lastCalledAt,
    show: (each) => (each.lastCalledAt ? clock(each.lastCalledAt) : UNKNOWN),
    isNumber: true,
    isMinor: true,
  },
];

/** The calls of the last hour by minutes, and of each tool since the gateway started. */
export function ToolCalls({ query }: { query: string }) {
  const { value, error } = useResource<Stats>("/api/health/stats", { every_s: 10 });
  const rows = Object.entries(value?.toolStats ?? {}).map(([tool, numbers]) => ({ tool, ...numbers }));
  const shown = rows.filter((each) => matches(`${each.tool} ${each.server}`, query));
  return (
    <Section title="Calls since the gateway started">
      {error && <Refused error={error} />}
      {value && (
        <>
          <Bars steps={steps(value.timeline)} span="hour" />
          <Table
            caption="Calls of tools"
            columns={COLUMNS}
            rows={shown}
            id={(each) => each.tool}
            order={{ column: "calls", isDescending: true }}
            empty={rows.length ? "No tool matches." : <Empty>No tool was called yet.</Empty>}
          />
        </>
      )}
    </Section>
  );
}
