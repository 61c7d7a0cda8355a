/** Is everything all right, what needs the user, and who uses what. */

import type { DetectedClient, Need, Overview, OverviewServer, Server, Usage } from "@mcpgateway/core/model";
import { outcome } from "@mcpgateway/core/operations";
import { look, rank } from "@mcpgateway/core/states";
import { clock, count, counted, memory, milliseconds, plain, tokens } from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import { overview } from "../gateway";
import { Bars } from "../parts/bars";
import { ActButton, Command, Empty, Refused, Section, State } from "../parts/basics";
import { Figure, SavedBySharing } from "../parts/figure";
import { later } from "../parts/later";
import { SignIn } from "../parts/server_buttons";
import { ServerLink } from "../parts/server_link";
import { useResource } from "../resource";
import { to } from "../router";

const Paste = later(async () => (await import("./rare")).Paste);

const UP: ReadonlySet<string> = new Set(["good", "busy"]);
const SHOWN = 12;
const LIMIT_MS = 45_000; // of a request that waits for a server

export function OverviewPage() {
  const found = overview.value;
  if (!found) return <p role="status">Asking the gateway.</p>;
  if (!found.servers) return <FirstRun />;
  return (
    <>
      <Verdict />
      <Hour calls={found.calls60} />
      <Saved saved={found.saved} used={found.memory_mb} />
      <div class="halves">
        <Running servers={found.backends} />
        <Here who={found.who} />
      </div>
    </>
  );
}

function Verdict() {
  const found = overview.value;
  if (!found) return null;
  const sum = `${counted(found.servers, "server")}, ${count(found.running)} running`;
  return (
    <>
      <h1 class={found.ok ? "verdict" : "verdict bad"}>
        {found.ok ? "Everything is all right." : `${capital(found.verdict)}.`}
        {found.ok && <small> {sum}</small>}
      </h1>
      {found.disabled && (
        <p class="refused">
          The gateway is disabled: clients use their own servers. <Command text="mcpgateway clients resume" />
        </p>
      )}
      {found.needs.length > 0 && (
        <ul class="needs" aria-label="Needs attention">
          {found.needs.map((each) => (
            <NeedRow key={each.id} need={each} />
          ))}
        </ul>
      )}
    </>
  );
}

function NeedRow({ need }: { need: Need }) {
  const isServer = need.kind === "server";
  const state = overview.value?.backends.find((each) => each.name === need.name)?.state;
  const isTold = need.run !== "" && need.do.endsWith(need.run);
  return (
    <li>
      <strong>
        {isServer ? (
          <a href={to("servers", need.name)}>{plain(need.name)}</a>
        ) : (
          plain(need.name || "The gateway")
        )}
      </strong>
      {isServer && state && <State state={state} />}
      <span class="says">{plain(need.says)}</span>
      <span class="do">
        {plain(isTold ? need.do.slice(0, -need.run.length) : need.do)}
        {isTold && <Command text={need.run} />}
      </span>
      <span class="since quiet">since {clock(need.since)}</span>
      <span class="buttons">
        {need.actions.map((each) => (
          <NeedButton key={each.label} need={need} action={each} />
        ))}
      </span>
    </li>
  );
}

function NeedButton({ need, action }: { need: Need; action: Need["actions"][number] }) {
  const { label, method, path, page } = action;
  const words = plain(label);
  const named = `${words}: ${plain(need.name || need.says)}`;
  if (page !== undefined)
    return (
      <a class="button" href={page} aria-label={named}>
        {words}
      </a>
    );
  if (need.action === "sign-in") return <SignIn name={need.name} />;
  if (!method || !path) return null;
  const done = (answer: unknown) => {
    const { server } = answer as { server?: Server };
    return server ? outcome(server) : `${words} is done`;
  };
  return (
    <ActButton label={named} act={{ method, path, done, limit_ms: LIMIT_MS }}>
      {words}
    </ActButton>
  );
}

function Hour({ calls: hour }: { calls: Overview["calls60"] }) {
  const { since, known_since, calls, failed } = hour;
  const sum = (numbers: number[]) => numbers.reduce((before, each) => before + each, 0);
  const steps = calls.map((each, minute) => ({
    at: since + minute * 60_000,
    calls: each,
    failed: failed[minute] ?? 0,
  }));
  return (
    <Section title="Calls in the last hour" extra={<a href={to("usage")}>Who uses what</a>}>
      <p class="figures">
        <Figure value={count(sum(calls))} what={sum(calls) === 1 ? "call" : "calls"} />
        <Figure value={count(sum(failed))} what="failed" isBad={sum(failed) > 0} />
      </p>
      <Bars steps={steps} span="hour" />
      {known_since > since && <p class="quiet">Calls are known since {clock(known_since)}.</p>}
      {sum(calls) > 0 && <PerServer />}
    </Section>
  );
}

function PerServer() {
  const [isOpen, setOpen] = useState(false);
  return (
    <details open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Durations, and per server</summary>
      {isOpen && <Durations />}
    </details>
  );
}

/** Asked for only while it is open: the overview itself is one request. */
function Durations() {
  const { value, error } = useResource<Usage>("/api/v1/usage?by=server&minutes=60", { every_s: 10 });
  if (error) return <Refused error={error} />;
  const most = [...(value?.items ?? [])].sort((one, other) => other.calls - one.calls);
  return (
    <>
      <p class="figures">
        <Figure value={milliseconds(value?.p50_ms)} what="median" />
        <Figure value={milliseconds(value?.p95_ms)} what="p95" />
      </p>
      <ul class="list">
        {most.slice(0, SHOWN).map((each) => (
          <li key={each.name}>
            <ServerLink name={each.name} tab="calls" />
            <span class="quiet">
              {counted(each.calls, "call")},{" "}
              <span class={each.failed ? "bad" : ""}>{count(each.failed)} failed</span>, median{" "}
              {milliseconds(each.p50_ms)}, p95 {milliseconds(each.p95_ms)}
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}

function Saved({ saved, used }: { saved: Overview["saved"]; used: number }) {
  return (
    <Section title="Saved by sharing">
      <p class="figures">
        <SavedBySharing processes={saved.processes} memory_mb={saved.memory_mb} />
        <Figure value={tokens(saved.tokens_today)} what="tokens today" />
        <Figure value={memory(used)} what="used by the gateway" />
      </p>
    </Section>
  );
}

function Running({ servers }: { servers: OverviewServer[] }) {
  const up = servers.filter((each) => each.pids.length || UP.has(look(each.state).tone));
  const sorted = [...up].sort(
    (one, other) => rank(one.state) - rank(other.state) || other.sessions - one.sessions,
  );
  return (
    <Section title="Running now" extra={<a href={to("servers")}>All servers</a>}>
      {sorted.length ? (
        <ul class="list">
          {sorted.slice(0, SHOWN).map((each) => (
            <li key={each.name}>
              <a href={to("servers", each.name)}>{plain(each.name)}</a>
              <State state={each.state} />
              <span class="quiet">
                {counted(each.sessions, "session")}, {counted(each.tool_calls, "call")}
              </span>
            </li>
          ))}
          {sorted.length > SHOWN && <li class="quiet">and {count(sorted.length - SHOWN)} more</li>}
        </ul>
      ) : (
        <Empty>No server runs. A server starts when its first client asks for it.</Empty>
      )}
    </Section>
  );
}

function Here({ who }: { who: Overview["who"] }) {
  return (
    <Section title="Who is here" extra={<a href={to("clients")}>All sessions</a>}>
      {who.length > 0 ? (
        <ul class="list">
          {who.map((each) => (
            <li key={each.name}>
              <b>{plain(each.name || "a client without a name")}</b>
              <span>{each.sessions ? counted(each.sessions, "session") : "without a session"}</span>
              <span class="quiet">{each.places.map(plain).join(", ")}</span>
            </li>
          ))}
        </ul>
      ) : (
        <Empty>
          No client has a session now. <a href={to("clients")}>Enrol a client's file</a>, or start a client
          that is enrolled.
        </Empty>
      )}
    </Section>
  );
}

function FirstRun() {
  const clients = useResource<{ detected: DetectedClient[] }>("/clients/detect").value?.detected.length;
  return (
    <>
      <h1 class="verdict">No server is configured yet.</h1>
      <p class="buttons">
        <a class="button primary" href={to("add")}>
          Add a server
        </a>
        <a class="button" href={to("clients")}>
          Enrol your clients' files{clients ? ` (${count(clients)} found)` : ""}
        </a>
      </p>
      <p>
        In a terminal, <Command text="mcpgateway start" /> looks for the files of your clients and takes over
        their servers.
      </p>
      <Section title="Paste what you know of a server">
        <Paste />
      </Section>
    </>
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
