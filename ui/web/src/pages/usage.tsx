/** Who uses what, and what sharing saves: calls of a span of time by client, server, tool or project. */

import type { Savings, Usage, UsageRow } from "@mcpgateway/core/model";
import { matches } from "@mcpgateway/core/tables";
import {
  clock,
  count,
  counted,
  duration,
  milliseconds,
  percent,
  plain,
  spent,
  tokens,
  UNKNOWN,
} from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import { Bars, Spark } from "../parts/bars";
import { Empty, Refused, Section } from "../parts/basics";
import { ContextCost } from "../parts/context_cost";
import { Figure, SavedBySharing } from "../parts/figure";
import { Filter } from "../parts/filter";
import { ServerLink } from "../parts/server_link";
import { type Column, Table } from "../parts/table";
import { useResource } from "../resource";
import { signed } from "../session";

const KINDS = ["client", "server", "tool", "project"];
const TOKEN = "token";
const SPANS = [
  { minutes: 60, words: "hour" },
  { minutes: 1440, words: "24 hours" },
  { minutes: 10_080, words: "7 days" },
  { minutes: 43_200, words: "30 days" },
];
const AGAIN_S = 30;

type Row = UsageRow;

export function UsagePage() {
  const [by, setBy] = useState("client");
  const [minutes, setMinutes] = useState(1440);
  const [query, setQuery] = useState("");
  const { value, error } = useResource<Usage>(`/api/v1/usage?by=${by}&minutes=${minutes}`, {
    every_s: AGAIN_S,
    isLive: false,
  });
  const span = SPANS.find((each) => each.minutes === minutes)?.words ?? duration(minutes * 60);
  const kinds = signed.value.rights === "admin" ? [...KINDS, TOKEN] : KINDS;
  const rows = value?.by === by ? value.items : [];
  const shown = rows.filter((each) => matches(`${each.name} ${each.server ?? ""}`, query));
  return (
    <>
      <header class="page">
        <h1>Usage</h1>
      </header>
      <div class="filters">
        <label>
          Calls of the last{" "}
          <select value={minutes} onChange={(event) => setMinutes(Number(event.currentTarget.value))}>
            {SPANS.map((each) => (
              <option key={each.minutes} value={each.minutes}>
                {each.words}
              </option>
            ))}
          </select>
        </label>
        <label>
          by{" "}
          <select value={by} onChange={(event) => setBy(event.currentTarget.value)}>
            {kinds.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <Filter query={query} onQuery={setQuery} what={`${by}s`} />
      </div>
      {error && <Refused error={error} />}
      {value && (
        <>
          <p class="figures">
            <Figure value={count(value.calls)} what={value.calls === 1 ? "call" : "calls"} />
            <Figure value={count(value.failed)} what="failed" isBad={Boolean(value.failed)} />
            {value.refused > 0 && <Figure value={count(value.refused)} what="refused" isBad />}
            <Figure value={spent(value.total_ms)} what="in tools" />
            <Figure value={tokens(value.result_tokens)} what="tokens of results" />
            <Figure value={milliseconds(value.p50_ms)} what="median" />
            <Figure value={milliseconds(value.p95_ms)} what="95th percentile" />
          </p>
          <Bars steps={value.series} span={span} />
          {value.known_since > value.since && (
            <p class="quiet">The activity log goes back to {clock(value.known_since)}.</p>
          )}
          <Table
            caption={`Calls by ${by}`}
            columns={columns(by)}
            rows={shown}
            id={(each) => `${each.name} ${each.server ?? ""}`}
            order={{ column: "calls", isDescending: true }}
            empty={rows.length ? `No ${by} matches.` : <Empty>No tool was called in the last {span}.</Empty>}
          />
        </>
      )}
      <Saved />
      <ContextCost />
    </>
  );
}

function columns(by: string): Column<Row>[] {
  const named = (row: Row) => (row.name ? plain(row.name) : UNKNOWN);
  const first: Column<Row> = {
    name: "name",
    title: by.charAt(0).toUpperCase() + by.slice(1),
    by: (each) => each.name,
    show: (each) => (by === "server" ? <ServerLink name={each.name} /> : <span>{named(each)}</span>),
  };
  const server: Column<Row> = {
    name: "server",
    title: "Server",
    by: (each) => each.server ?? "",
    show: (each) => <ServerLink name={each.server ?? ""} />,
  };
  return [first, ...(by === "tool" ? [server] : []), ...NUMBERS];
}

const NUMBERS: Column<Row>[] = [
  {
    name: "sessions",
    title: "Sessions",
    by: (each) => each.sessions,
    show: (each) => count(each.sessions),
    isNumber: true,
    isMinor: true,
  },
  {
    name: "calls",
    title: "Calls",
    by: (each) => each.calls,
    show: (each) => count(each.calls),
    isNumber: true,
  },
  {
    name: "failed",
    title: "Failed",
    by: (each) => each.failed,
    show: (each) => (
      <span class={each.failed ? "bad" : undefined}>
        {each.failed ? `${count(each.failed)} (${percent(each.failed / each.calls)})` : "0"}
      </span>
    ),
    isNumber: true,
  },
  {
    name: "total",
    title: "Time in tools",
    by: (each) => each.total_ms,
    show: (each) => spent(each.total_ms),
    isNumber: true,
  },
  {
    name: "tokens",
    title: "Result tokens",
    by: (each) => each.result_tokens,
    show: (each) => tokens(each.result_tokens),
    isNumber: true,
  },
  {
    name: "series",
    title: "Over time",
    show: (each) => <Spark values={each.series ?? []} />,
    isMinor: true,
  },
  {
    name: "median",
    title: "Median",
    by: (each) => each.p50_ms,
    show: (each) => milliseconds(each.p50_ms),
    isNumber: true,
    isMinor: true,
  },
  {
    name: "p95",
    title: "p95",
    by: (each) => each.p95_ms,
    show: (each) => milliseconds(each.p95_ms),
    isNumber: true,
  },
  {
    name: "last",
    title: "Last call",
    by: (each) => each.last_at,
    show: (each) => (each.last_at ? clock(each.last_at) : UNKNOWN),
    isNumber: true,
    isMinor: true,
  },
];

function Saved() {
  const { value } = useResource<Savings>("/api/v1/savings", { every_s: AGAIN_S, isLive: false });
  if (!value) return null;
  return (
    <Section title="Saved by sharing">
      <p class="figures">
        <SavedBySharing processes={value?.processes.saved} memory_mb={value?.memory.saved_mb} />
        <Figure value={tokens(value.tokens.total)} what="tokens in all" />
        <Figure value={tokens(value.tokens.today)} what="tokens today" />
      </p>
      <p class="quiet">
        {counted(value.processes.running, "process", "processes")} of servers run; without the gateway each
        session would start its own, {count(value.processes.without)} in all. Tokens are those that models
        were spared by deferred and shortened lists and results.
      </p>
    </Section>
  );
}
