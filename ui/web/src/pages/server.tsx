/** One server: why it is in its state, its tools, its log and its sessions. */

import type { Advice, Server, Sessions, ToolRow, Why } from "@mcpgateway/core/model";
import { serverPath } from "@mcpgateway/core/operations";
import { matches } from "@mcpgateway/core/tables";
import {
  clock,
  count,
  counted,
  duration,
  memory,
  milliseconds,
  placing,
  plain,
  UNKNOWN,
} from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import { ActButton, Command, Copy, Empty, Refused, Section, State } from "../parts/basics";
import { Filter } from "../parts/filter";
import { later } from "../parts/later";
import { Log } from "../parts/log";
import { ServerButtons, Setting } from "../parts/server_buttons";
import { LooseClients, SessionTable } from "../parts/sessions";
import { useResource } from "../resource";
import { go, to } from "../router";
import { surroundings } from "../surroundings";
import { askAsClient, toolsForClients } from "../tool_lists";

const TABS = ["status", "tools", "logs", "calls", "sessions", "resources", "prompts", "settings"] as const;
type Tab = (typeof TABS)[number];
const ServerCalls = later(async () => (await import("./rare")).Calls);
const ServerSettings = later(async () => (await import("./rare")).ServerSettings);
const Offers = later(async () => (await import("./rare")).Offers);
/** What stands beside the name of a tab; `?` for a server that was not asked yet. */
const COUNTS: Partial<Record<Tab, (server: Server) => string>> = {
  tools: ({ tool_count }) => (tool_count === null ? "?" : count(tool_count)),
  sessions: ({ sessions }) => count(sessions),
};
const COMMAND = /mcpgateway [\w ./~:=-]+$/;

export function ServerPage({ name, tab }: { name: string; tab: string }) {
  const { value, error } = useResource<Server>(serverPath(name), { every_s: 10 });
  const shown: Tab = TABS.find((each) => each === tab) ?? "status";
  return (
    <>
      <nav class="crumbs" aria-label="Breadcrumb">
        <a href={to("servers")}>Servers</a>
      </nav>
      <header class="page">
        <h1>{plain(name)}</h1>
        {value && <State state={value.state} />}
        {value && <ServerButtons server={value} />}
      </header>
      {error && <Refused error={error} />}
      {value && (
        <p class="quiet">
          <code>{plain(value.runs)}</code> from <code>{plain(placeOf(value))}</code>; shared: {value.share};{" "}
          {value.nodes && `${plain(placing(value))}; `}
          {counted(value.sessions, "session")}, {counted(value.tool_calls, "call")}, {lastHour(value)}
          {value.pids.length
            ? `${memory(value.memory_mb)} in ${counted(value.pids.length, "process", "processes")}`
            : "no process"}
          {value.pids.length > 0 && `, up for ${duration(value.uptime_seconds)}`}
        </p>
      )}
      {value && (
        <p>
          <Command text={`${surroundings.origin}/${encodeURIComponent(name)}/mcp`} />
        </p>
      )}
      <nav class="tabs" aria-label={`Pages of ${name}`}>
        {TABS.map((each) => (
          <a key={each} href={to("servers", name, each)} aria-current={each === shown ? "page" : undefined}>
            {each}
            {value && COUNTS[each] && <span class="count"> {COUNTS[each](value)}</span>}
          </a>
        ))}
      </nav>
      {shown === "status" && <Status name={name} />}
      {shown === "tools" && <Tools server={value} />}
      {shown === "logs" && <Log key={name} path={serverPath(name, "logs")} />}
      {shown === "calls" && <ServerCalls server={name} />}
      {shown === "sessions" && <ServerSessions name={name} />}
      {(shown === "resources" || shown === "prompts") && <Offers key={shown} name={name} kind={shown} />}
      {shown === "settings" && <ServerSettings name={name} />}
      {value?.is_own && shown === "status" && (
        <p class="danger">
          <ActButton
            label={`Remove this server: ${name}`}
            act={{ method: "DELETE", path: serverPath(name), done: `${name} is removed`, rights: "admin" }}
            question={{
              title: `Remove ${name}?`,
              effect: `Its entry is taken out of ${value.source}, its processes end, and its clients lose it. The entry is kept in the gateway's home.`,
              yes: "Remove",
            }}
            then={() => go(to("servers"))}
          >
            Remove this server
          </ActButton>
        </p>
      )}
    </>
  );
}

function placeOf({ source, source_line }: Server): string {
  return source_line ? `${source}:${source_line}` : source || "the gateway";
}

function lastHour({ calls_1h = 0, errors_1h = 0, p95_ms }: Server): string {
  if (!calls_1h) return "";
  const failed = errors_1h ? `, ${count(errors_1h)} failed` : "";
  return `${count(calls_1h)} of them in the last hour${failed} (95 % within ${milliseconds(p95_ms)}), `;
}

/** The verdict with its causes and remedies, for a message to somebody who helps. */
function written({ verdict, advice, stderr = [] }: Why): string {
  const causes = advice.map(({ says, do: remedy }) => `- ${says}${remedy ? `: ${remedy}` : ""}`);
  return [verdict, ...causes, ...stderr].join("\n");
}

function Status({ name }: { name: string }) {
  const { value, error } = useResource<Why>(serverPath(name, "why"), { every_s: 10 });
  if (error) return <Refused error={error} />;
  if (!value) return <p role="status">Asking the gateway.</p>;
  const troubles = value.advice.filter((each) => each.trouble);
  const isTold = ({ says }: Advice) => troubles.length === 1 && value.verdict.endsWith(`: ${says}`);
  const notes = value.advice.filter((each) => !each.trouble);
  return (
    <>
      <Section title="State">
        <p class={value.ok ? "verdict small" : "verdict small bad"}>
          {plain(value.verdict)} <Copy text={written(value)} label="the causes" />
        </p>
        {troubles.length > 0 && (
          <ol class="advice">
            {troubles.map((each) => (
              <li key={each.cause}>
                {isTold(each) || <b>{plain(each.says)}</b>}
                <Remedy text={each.do} /> <Setting name={name} remedy={each} />
              </li>
            ))}
          </ol>
        )}
        {notes.length > 0 && (
          <ul class="notes">
            {notes.map((each) => (
              <li key={each.cause}>
                {plain(each.says)} <Remedy text={each.do} />
              </li>
            ))}
          </ul>
        )}
      </Section>
      {(value.crashes?.length ?? 0) > 0 && (
        <Section title="Unexpected ends in the last hour">
          <ol class="history">
            {value.crashes?.map((each, index) => (
              <li key={index}>
                <time dateTime={each.at}>{clock(each.at)}</time>{" "}
                <span class="failed">{plain(each.text)}</span> {each.line && <code>{plain(each.line)}</code>}
              </li>
            ))}
          </ol>
        </Section>
      )}
      {(value.stderr?.length ?? 0) > 0 && (
        <Section title="Last lines of its output">
          <pre tabIndex={0}>{value.stderr?.map(plain).join("\n")}</pre>
        </Section>
      )}
      {value.launch?.command && (
        <Section title="Started as">
          <dl class="facts">
            <dt>Command</dt>
            <dd>
              <code>{plain(value.launch.command.join(" "))}</code>
            </dd>
            <dt>Program</dt>
            <dd>
              <code>{plain(value.launch.program ?? UNKNOWN)}</code>
            </dd>
            <dt>Directory</dt>
            <dd>
              <code>{plain(value.launch.cwd ?? UNKNOWN)}</code>
            </dd>
            <dt>Variables</dt>
            <dd>
              <details>
                <summary>{counted(value.launch.env?.length ?? 0, "name")}</summary>
                {value.launch.env?.map(plain).join(", ")}
              </details>
            </dd>
          </dl>
        </Section>
      )}
      <Section title="History">
        {value.history.length ? (
          <ol class="history">
            {[...value.history].reverse().map((each) => (
              <li key={`${each.at} ${each.text}`}>
                <time dateTime={each.at}>{clock(each.at)}</time> {plain(each.text)}
                {each.times > 1 && <span class="quiet"> {count(each.times)} times</span>}
              </li>
            ))}
          </ol>
        ) : (
          <Empty>Nothing has happened to it since the gateway started.</Empty>
        )}
      </Section>
    </>
  );
}

function Remedy({ text }: { text: string }) {
  if (!text) return null;
  const command = COMMAND.exec(text)?.[0];
  const before = command ? text.slice(0, -command.length) : text;
  return (
    <span class="do">
      {plain(before)}
      {command && <Command text={command} />}
    </span>
  );
}

function Tools({ server }: { server: Server | undefined }) {
  const [query, setQuery] = useState("");
  const name = server?.name ?? "";
  // A server that does not answer says so in its status.
  const askToo = () => void askAsClient(name).catch(() => undefined);
  const rows = useResource<ToolRow[]>(`/api/v1/tools?asked=false&server=${encodeURIComponent(name)}`);
  if (!server) return null;
  const off = new Set(rows.value?.filter((each) => !each.offered).map((each) => each.tool));
  const ask = (
    <ActButton
      label={`Ask it now: the tools of ${server.name}`}
      act={{
        method: "POST",
        path: "/api/v1/discover",
        body: { servers: [server.name] },
        done: `${server.name} is asked for its tools`,
      }}
      then={askToo}
    >
      Ask it now
    </ActButton>
  );
  if (server.tool_count === null) return <Empty>The server was not asked for its tools yet. {ask}</Empty>;
  const known = server.tools ?? [];
  const more = toolsForClients(
    name,
    known.map((each) => each.name),
  );
  const all = [
    ...known.map((each) => ({ ...each, isMore: false })),
    ...more.map((each) => ({
      name: each.name,
      description: each.description ?? "",
      input_schema: each.inputSchema,
      isMore: true,
    })),
  ];
  const shown = all.filter((each) => matches(`${each.name} ${each.description}`, query));
  return (
    <>
      <div class="filters">
        <Filter query={query} onQuery={setQuery} what="tools" />
        <span class="quiet" role="status">
          {counted(shown.length, "tool")}
        </span>
        {ask}
      </div>
      <ul class="tools">
        {shown.map((each) => (
          <li key={each.name}>
            <h2>
              <a href={to("tools", `${server.name}__${each.name}`)}>
                <code>{plain(each.name)}</code>
              </a>{" "}
              {each.isMore && (
                <span class="tier">only for clients that answer questions, as this page does</span>
              )}
              {!each.isMore && rows.value && (
                <OfferButton id={`${server.name}__${each.name}`} isOff={off.has(each.name)} />
              )}
            </h2>
            <p>{plain(each.description)}</p>
            <details>
              <summary>Arguments</summary>
              <pre tabIndex={0}>{plain(JSON.stringify(each.input_schema, null, 2))}</pre>
            </details>
          </li>
        ))}
      </ul>
    </>
  );
}

/** Takes a tool out of the offer of its server, or offers it again. */
function OfferButton({ id, isOff }: { id: string; isOff: boolean }) {
  const word = isOff ? "Offer" : "Do not offer";
  return (
    <>
      {isOff && <span class="tier">not offered</span>}{" "}
      <ActButton
        label={`${word} ${plain(id)}`}
        act={{
          method: "PATCH",
          path: `/api/v1/tools/${encodeURIComponent(id)}`,
          body: { offered: isOff },
          done: `${plain(id)} is ${isOff ? "" : "not "}offered`,
        }}
      >
        {word}
      </ActButton>
    </>
  );
}

function ServerSessions({ name }: { name: string }) {
  const { value, error } = useResource<Sessions>(
    `/api/v1/sessions?server=${encodeURIComponent(name)}&limit=1000`,
    { every_s: 10 },
  );
  if (error) return <Refused error={error} />;
  return value ? (
    <>
      <SessionTable sessions={value.sessions} empty="No client has a session with it now." />
      <LooseClients clients={value.without} />
    </>
  ) : null;
}
