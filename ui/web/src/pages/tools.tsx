/** All tools of all servers: what they do and cost, who calls them, and whether they are offered. */

import type { ToolRow } from "@mcpgateway/core/model";
import { matches } from "@mcpgateway/core/tables";
import { count, counted, plain, tokens } from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import { act } from "../act";
import { overview } from "../gateway";
import { offerAgain } from "../operations";
import { Empty, Refused } from "../parts/basics";
import { Filter } from "../parts/filter";
import { later } from "../parts/later";
import { save } from "../parts/save";
import { type Column, Table } from "../parts/table";
import { ToolCalls } from "../parts/tool_calls";
import { useResource } from "../resource";
import { to } from "../router";
import { askAsClient, serversAsked, toolsForClients } from "../tool_lists";

const PATH = "/api/v1/tools";
const NOWHERE = "-";
const HYBRID = "/mcp";
const TIERS = ["read", "write", "destructive"];

const Views = later(async () => (await import("./rare")).ViewsSection);

type Chosen = ReadonlySet<string>;

function columnsOf(chosen: Chosen, choose: (chosen: Chosen) => void): Column<ToolRow>[] {
  const turn = (name: string) => {
    const now = new Set(chosen);
    if (!now.delete(name)) now.add(name);
    choose(now);
  };
  return [
    {
      name: "tool",
      title: "Tool",
      by: (each) => each.name,
      show: (each) => (
        <>
          {!each.is_more && (
            <input
              type="checkbox"
              aria-label={`Select ${plain(each.name)}`}
              checked={chosen.has(each.name)}
              onChange={() => turn(each.name)}
            />
          )}{" "}
          <a href={to("tools", each.name)} title={plain(each.description)}>
            {plain(each.tool)}
          </a>
        </>
      ),
    },
    {
      name: "server",
      title: "Server",
      by: (each) => each.server,
      show: (each) => <a href={to("servers", each.server, "tools")}>{plain(each.server)}</a>,
    },
    {
      name: "tier",
      title: "Effect",
      by: (each) => TIERS.indexOf(each.tier ?? ""),
      show: (each) => each.tier ?? "—",
    },
    {
      name: "tokens",
      title: "Tokens",
      by: (each) => each.tokens,
      show: (each) => tokens(each.tokens),
      isNumber: true,
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
      isMinor: true,
    },
    {
      name: "offered",
      title: "Offered",
      by: (each) => Number(each.offered),
      show: (each) => (
        <>
          {each.is_more ? "if asked back" : each.offered ? "offered" : <b>not offered</b>}
          {each.pinned && ", pinned"}
        </>
      ),
    },
    {
      name: "listed",
      title: "Listed at",
      by: (each) => each.listed_on?.length,
      show: (each) => <span class="quiet">{(each.listed_on ?? []).map(plain).join(", ")}</span>,
      isMinor: true,
    },
  ];
}

export function ToolsPage() {
  const { value, error } = useResource<ToolRow[]>(`${PATH}?asked=false`, { every_s: 60 });
  const [query, setQuery] = useState("");
  const [server, setServer] = useState("");
  const [tier, setTier] = useState("");
  const [place, setPlace] = useState("");
  const [isOffOnly, setOffOnly] = useState(false);
  const [chosen, setChosen] = useState<Chosen>(new Set());
  const known = value ?? [];
  const all = [...known, ...moreRows(known)];
  const shown = all.filter(
    (each) =>
      (!server || each.server === server) &&
      (!tier || each.tier === tier) &&
      isListed(each, place) &&
      !(isOffOnly && each.offered) &&
      matches(`${each.name} ${each.description}`, query),
  );
  const servers = [...new Set(all.map((each) => each.server))].sort();
  const places = [...new Set(known.flatMap((each) => each.listed_on ?? []))].sort();
  return (
    <>
      <header class="page">
        <h1>Tools</h1>
      </header>
      {error && <Refused error={error} />}
      {value && (
        <>
          <Sum tools={known} />
          <More />
          <div class="filters">
            <Filter query={query} onQuery={setQuery} what="tools" />
            <select
              aria-label="Server"
              value={server}
              onChange={(event) => setServer(event.currentTarget.value)}
            >
              <option value="">all servers</option>
              {servers.map((each) => (
                <option key={each} value={each}>
                  {plain(each)}
                </option>
              ))}
            </select>
            <select aria-label="Effect" value={tier} onChange={(event) => setTier(event.currentTarget.value)}>
              <option value="">all effects</option>
              {TIERS.map((each) => (
                <option key={each}>{each}</option>
              ))}
            </select>
            <select
              aria-label="Listed"
              value={place}
              onChange={(event) => setPlace(event.currentTarget.value)}
            >
              <option value="">listed or not</option>
              {places.map((each) => (
                <option key={each} value={each}>
                  listed at {plain(each)}
                </option>
              ))}
              <option value={NOWHERE}>found by search only</option>
            </select>
            <button type="button" aria-pressed={isOffOnly} onClick={() => setOffOnly(!isOffOnly)}>
              Not offered
            </button>
            <span class="quiet" role="status">
              {counted(shown.length, "tool")}
            </span>
          </div>
          <Selection
            all={known}
            shown={shown.filter((each) => !each.is_more)}
            chosen={chosen}
            onChoose={setChosen}
          />
          <Table
            caption="All tools"
            columns={columnsOf(chosen, setChosen)}
            rows={shown}
            id={(each) => each.name}
            order={{ column: "tool", isDescending: false }}
            empty={
              all.length ? (
                "No tool matches."
              ) : (
                <Empty>No server was asked for its tools yet: a server's page asks it.</Empty>
              )
            }
          />
        </>
      )}
      <Views />
      <ToolCalls query={query} />
    </>
  );
}

function isListed({ listed_on = [] }: ToolRow, place: string): boolean {
  if (!place) return true;
  return place === NOWHERE ? !listed_on.includes(HYBRID) : listed_on.includes(place);
}

/** The tools that servers list only for clients that they can ask back, as far as this page has asked for them. */
function moreRows(known: readonly ToolRow[]): ToolRow[] {
  const own = (server: string) => known.filter((each) => each.server === server).map((each) => each.tool);
  return serversAsked().flatMap((server) =>
    toolsForClients(server, own(server)).map(({ id, name, description = "", tier }) => ({
      name: id,
      tool: name,
      description,
      server,
      tier,
      offered: true,
      is_more: true,
    })),
  );
}

/** The button that asks the running servers as a client that answers questions. */
function More() {
  const [isUnderWay, setUnderWay] = useState(false);
  const running = (overview.value?.backends ?? [])
    .filter((each) => each.pids.length)
    .map((each) => each.name);
  const ask = async () => {
    setUnderWay(true);
    await Promise.allSettled(running.map(askAsClient));
    setUnderWay(false);
  };
  return (
    <p class="quiet">
      A server may have more tools for clients that answer its questions (elicitation, sampling), as the
      playground does.{" "}
      <button
        type="button"
        disabled={isUnderWay || !running.length}
        aria-busy={isUnderWay}
        onClick={() => void ask()}
      >
        {isUnderWay ? "Asking" : "List them, too"}
      </button>
      {!running.length && " No server runs now."}
    </p>
  );
}

/** What all tools would cost a model's context, and how many are taken out. */
function Sum({ tools: all }: { tools: readonly ToolRow[] }) {
  const offered = all.filter((each) => each.offered);
  return (
    <p class="quiet">
      {counted(all.length, "tool")}, {count(all.length - offered.length)} of them not offered. The definitions
      of those that are offered take about {tokens(costOf(offered))} tokens if all are listed.
    </p>
  );
}

function costOf(rows: readonly ToolRow[]): number {
  return rows.reduce((sum, each) => sum + (each.tokens ?? 0), 0);
}

interface SelectionProps {
  all: readonly ToolRow[];
  shown: readonly ToolRow[];
  chosen: Chosen;
  onChoose: (chosen: Chosen) => void;
}

/** The buttons that act on the selected tools. */
function Selection({ all, shown, chosen, onChoose }: SelectionProps) {
  const selected = all.filter((each) => chosen.has(each.name));
  const former = selected.map(({ name, offered }) => ({ name, offered }));
  const change = async (how: { offered: boolean } | { pinned: boolean }) => {
    const word = "offered" in how ? "offered" : "pinned";
    const isSo = Object.values(how)[0];
    const done = `${counted(selected.length, "tool")} ${selected.length === 1 ? "is" : "are"} ${isSo ? "" : "not "}${word}`;
    const body = { tools: selected.map((each) => each.name), ...how };
    const text =
      "offered" in how ? { text: done, isError: false, undo: () => void offerAgain(former) } : done;
    if (await act({ method: "PATCH", path: PATH, body, done: () => text })) onChoose(new Set());
  };
  const pin = !selected.length || !selected.every((each) => each.pinned);
  return (
    <p class="buttons copies">
      <button type="button" onClick={() => onChoose(new Set(shown.map((each) => each.name)))}>
        Select all shown
      </button>
      <button type="button" disabled={!selected.length} onClick={() => onChoose(new Set())}>
        Select none
      </button>
      <button type="button" disabled={!selected.length} onClick={() => void change({ offered: true })}>
        Offer
      </button>
      <button type="button" disabled={!selected.length} onClick={() => void change({ offered: false })}>
        Do not offer
      </button>
      <button
        type="button"
        disabled={!selected.length}
        title="Pinned tools are listed before others at the endpoints for several servers"
        onClick={() => void change({ pinned: pin })}
      >
        {pin ? "Pin" : "Unpin"}
      </button>
      <button
        type="button"
        disabled={!selected.length}
        onClick={() => save("tools.json", "application/json", JSON.stringify(selected, null, 2))}
      >
        Export
      </button>
      {selected.length > 0 && (
        <span class="quiet">
          {count(selected.length)} selected, {tokens(costOf(selected))} tokens
        </span>
      )}
    </p>
  );
}
