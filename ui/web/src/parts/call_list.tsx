/** The table of calls, as they end, with what chooses among them. */

import {
  asCsv,
  asJsonLines,
  type Call,
  type CallChoice,
  FAILED,
  figures,
  whoOf,
} from "@mcpgateway/core/calls";
import { matches } from "@mcpgateway/core/tables";
import { clock, count, counted, milliseconds, plain } from "@mcpgateway/core/words";
import { useMemo, useState } from "preact/hooks";
import { useCalls } from "../calls";
import { to } from "../router";
import { Empty, Refused } from "./basics";
import { Filter } from "./filter";
import { save } from "./save";
import { type Column, Table } from "./table";

/** What a call came to: a mark and a word, and its error. */
export function Outcome({ call }: { call: Call }) {
  if (!FAILED.has(call.outcome)) return <span class="quiet">{plain(call.outcome)}</span>;
  return (
    <span class="bad" title={plain(call.error ?? "")}>
      <span aria-hidden="true">✖</span> {plain(call.error || call.outcome).slice(0, 120)}
    </span>
  );
}

const COLUMNS: Column<Call>[] = [
  {
    name: "at",
    title: "Ended",
    by: (each) => Date.parse(each.at),
    show: (each) => <a href={to("calls", each.id)}>{clock(each.at)}</a>,
  },
  { name: "server", title: "Server", by: (each) => each.server, show: (each) => plain(each.server) },
  {
    name: "tool",
    title: "Tool",
    by: (each) => each.tool,
    show: (each) => <code>{plain(each.tool ?? "")}</code>,
  },
  {
    name: "who",
    title: "Client",
    by: whoOf,
    show: (each) => (
      <>
        {plain(whoOf(each))} {each.project && <span class="quiet">{plain(each.project)}</span>}
      </>
    ),
  },
  { name: "ms", title: "Took", by: (each) => each.ms, show: (each) => milliseconds(each.ms), isNumber: true },
  { name: "outcome", title: "Outcome", by: (each) => each.outcome, show: (each) => <Outcome call={each} /> },
];
const SPANS: [number, string][] = [
  [0, "any time"],
  [15, "15 minutes"],
  [60, "1 hour"],
  [1440, "24 hours"],
];

export function CallList({ server = "" }: { server?: string }) {
  const [choice, setChoice] = useState<CallChoice>({ server, isFailed: false, slowerThan: 0, since: 0 });
  const [query, setQuery] = useState("");
  const [at, setAt] = useState("");
  const [tool, setTool] = useState("");
  const [who, setWho] = useState("");
  const [held, setHeld] = useState<readonly Call[]>();
  const { calls, isOpen, isFilled, error, loadEarlier } = useCalls(choice);
  const all = held ?? calls;
  const change = (part: Partial<CallChoice>) => {
    setHeld(undefined);
    setChoice({ ...choice, ...part });
  };
  const shown = useMemo(() => {
    const isMeant = (each: Call) =>
      (!at || each.server === at) &&
      (!tool || each.tool === tool) &&
      (!who || whoOf(each) === who) &&
      (!query || matches(`${each.server} ${each.tool} ${whoOf(each)} ${each.project} ${each.error}`, query));
    return at || tool || who || query ? all.filter(isMeant) : all;
  }, [all, at, tool, who, query]);
  const told = useMemo(() => figures(shown), [shown]);
  const servers = useMemo(() => named(calls, (each) => each.server), [calls]);
  const tools = useMemo(() => named(calls, (each) => each.tool ?? ""), [calls]);
  const clients = useMemo(() => named(calls, whoOf), [calls]);
  const columns = server ? COLUMNS.filter((each) => each.name !== "server") : COLUMNS;
  return (
    <>
      <div class="filters">
        <Filter query={query} onQuery={setQuery} what="calls" />
        {!server && <Select label="Server" value={at} values={servers} onValue={setAt} />}
        <Select label="Tool" value={tool} values={tools} onValue={setTool} />
        <Select label="Client" value={who} values={clients} onValue={setWho} />
        <label class="choice">
          Since{" "}
          <select
            value={choice.since}
            onChange={(event) => change({ since: Number(event.currentTarget.value) })}
          >
            {SPANS.map(([minutes, word]) => (
              <option key={minutes} value={minutes}>
                {word}
              </option>
            ))}
          </select>
        </label>
        <label class="choice">
          Slower than{" "}
          <input
            type="number"
            class="short"
            min={0}
            step={100}
            value={choice.slowerThan || ""}
            onChange={(event) => change({ slowerThan: Number(event.currentTarget.value) || 0 })}
          />{" "}
          ms
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={choice.isFailed}
            onChange={(event) => change({ isFailed: event.currentTarget.checked })}
          />
          Failed only
        </label>
      </div>
      <div class="filters">
        <button type="button" aria-pressed={Boolean(held)} onClick={() => setHeld(held ? undefined : calls)}>
          Pause
        </button>
        <span class="quiet" role="status">
          {counted(told.calls, "call")}, {count(told.failed)} failed, median {milliseconds(told.p50)}, p95{" "}
          {milliseconds(told.p95)}
          {held ? `, paused: ${count(Math.max(0, calls.length - held.length))} more` : ""}
          {isOpen || !isFilled ? "" : ", not connected"}
        </span>
        <span class="buttons">
          <button type="button" onClick={() => save("calls.csv", "text/csv", asCsv(shown))}>
            Download CSV
          </button>
          <button type="button" onClick={() => save("calls.jsonl", "application/jsonl", asJsonLines(shown))}>
            Download JSONL
          </button>
        </span>
      </div>
      {error && <Refused error={error} />}
      <Table
        caption="Calls of tools"
        columns={columns}
        rows={shown}
        id={(each) => each.id}
        order={{ column: "at", isDescending: true }}
        empty={
          isFilled || error ? (
            <Empty>
              {calls.length
                ? "No call matches."
                : "No call is in the log yet. A call is here a second after its end."}
            </Empty>
          ) : (
            "Asking the gateway."
          )
        }
      />
      {loadEarlier && !held && (
        <p>
          <button type="button" onClick={() => void loadEarlier()}>
            Earlier calls
          </button>
        </p>
      )}
    </>
  );
}

function named(calls: readonly Call[], name: (call: Call) => string): string[] {
  return [...new Set(calls.map(name))].filter(Boolean).sort();
}

function Select(props: { label: string; value: string; values: string[]; onValue: (value: string) => void }) {
  const { label, value, values, onValue } = props;
  return (
    <label class="choice">
      {label}{" "}
      <select value={value} onChange={(event) => onValue(event.currentTarget.value)}>
        <option value="">all</option>
        {values.map((each) => (
          <option key={each} value={each}>
            {plain(each)}
          </option>
        ))}
      </select>
    </label>
  );
}
