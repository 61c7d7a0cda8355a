/** The table of calls, as they end, with what chooses among them. */

import {
  asCsv,
  asJsonLines,
  type Call,
  type CallChoice,
  FAILED,
  queryOf,
  whoOf,
} from "@mcpgateway/core/calls";
import type { Usage } from "@mcpgateway/core/model";
import { clock, count, counted, milliseconds, plain } from "@mcpgateway/core/words";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useCalls } from "../calls";
import { overview } from "../gateway";
import { useResource } from "../resource";
import { to } from "../router";
import { Empty, Refused } from "./basics";
import { Filter } from "./filter";
import { save } from "./save";
import { distinct, named, Select } from "./select";
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
    show: (each) =>
      each.tool && (
        <a href={to("calls", each.id)}>
          <code>{plain(each.tool)}</code>
        </a>
      ),
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
  {
    name: "node",
    title: "Node",
    by: (each) => each.node,
    show: (each) => plain(each.node ?? ""),
    isMinor: true,
  },
  { name: "ms", title: "Took", by: (each) => each.ms, show: (each) => milliseconds(each.ms), isNumber: true },
  { name: "outcome", title: "Outcome", by: (each) => each.outcome, show: (each) => <Outcome call={each} /> },
];
const SPANS: [number, string][] = [
  [60, "the last hour"],
  [1440, "the last 24 hours"],
  [10_080, "the last 7 days"],
  [43_200, "the last 30 days"],
];
const OUTCOMES: [string, string][] = [
  ["", "all"],
  ["failed", "failed"],
  ["timeout", "timed out"],
  ["refused", "refused"],
  ["cancelled", "cancelled"],
  ["ok", "ok"],
];
const TYPING_MS = 300;
const FIGURES_MS = 2000;

export function CallList({ server = "" }: { server?: string }) {
  const none = { server, tool: "", client: "", outcome: "", text: "", slowerThan: 0, minutes: 1440 };
  const [choice, setChoice] = useState<CallChoice>(none);
  const [text, setText] = useState("");
  const [held, setHeld] = useState<{ calls: readonly Call[]; told: Usage | undefined }>();
  const query = queryOf(choice).toString();
  const { calls, isOpen, isFilled, error, loadEarlier } = useCalls(query);
  const newest = useFigures(query, calls[0]?.id);
  const { calls: shown, told } = held ?? { calls, told: newest };
  const change = (part: Partial<CallChoice>) => {
    setHeld(undefined);
    setChoice((former) => ({ ...former, ...part }));
  };
  useEffect(() => {
    const timer = setTimeout(() => text !== choice.text && change({ text }), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const known = queryOf({ ...none, minutes: choice.minutes });
  const tools = useResource<Usage>(`/api/v1/usage?by=tool&${known}`, { isLive: false }).value?.items;
  const clients = useResource<Usage>(`/api/v1/usage?by=client&${known}`, { isLive: false }).value?.items;
  const servers = useMemo(() => distinct(tools?.map((each) => each.server)), [tools]);
  const ofServer = tools?.filter((each) => !choice.server || each.server === choice.server);
  const span = SPANS.find(([minutes]) => minutes === choice.minutes)?.[1];
  const columns = COLUMNS.filter(({ name }) =>
    name === "node" ? overview.value?.cluster : name !== "server" || !server,
  );
  const isChosen = query !== known.toString();
  return (
    <>
      <div class="filters">
        <Filter query={text} onQuery={setText} what="calls" />
        <Select
          label="Span"
          value={String(choice.minutes)}
          values={SPANS.map(([minutes, word]) => [String(minutes), word])}
          onValue={(value) => change({ minutes: Number(value) })}
        />
        {!server && (
          <Select
            label="Server"
            value={choice.server}
            values={named(servers)}
            onValue={(value) => change({ server: value, tool: "" })}
          />
        )}
        <Select
          label="Tool"
          value={choice.tool}
          values={named(distinct(ofServer?.map((each) => each.name)))}
          onValue={(tool) => change({ tool })}
        />
        <Select
          label="Client"
          value={choice.client}
          values={named(distinct(clients?.map((each) => each.name)))}
          onValue={(client) => change({ client })}
        />
        <Select
          label="Outcome"
          value={choice.outcome}
          values={OUTCOMES}
          onValue={(outcome) => change({ outcome })}
        />
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
      </div>
      <div class="filters">
        <button
          type="button"
          aria-pressed={Boolean(held)}
          onClick={() => setHeld(held ? undefined : { calls, told: newest })}
        >
          Pause
        </button>
        <span class="quiet" role="status">
          {told && (
            <>
              {counted(told.calls, "call")} in {span}, {count(told.failed)} failed
              {told.refused > 0 && `, ${count(told.refused)} refused`}, median {milliseconds(told.p50_ms)},
              p95 {milliseconds(told.p95_ms)}
            </>
          )}
          {held ? `, paused: ${count(Math.max(0, (newest?.calls ?? 0) - (told?.calls ?? 0)))} more` : ""}
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
              {isChosen
                ? `No call of ${span} matches.`
                : `No call of ${span} is in the log. A call is here a second after its end.`}
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

/** The figures of all calls of a choice, which the gateway counts: anew when another one has ended. */
function useFigures(query: string, latest: string | undefined): Usage | undefined {
  const { value, reload } = useResource<Usage>(`/api/v1/usage?by=server&${query}`, { isLive: false });
  const again = useRef<() => void>(reload);
  again.current = reload;
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => {
    if (!latest) return;
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      again.current();
    }, FIGURES_MS);
  }, [latest]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return value;
}
