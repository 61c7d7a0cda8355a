/** Is everything all right, what needs the user, and who uses what. */

import type { Need, OverviewServer, Savings, Session, Stats } from "@mcpgateway/core/model";
import { look, rank } from "@mcpgateway/core/states";
import { clock, count, counted, duration, memory, plain, tokens } from "@mcpgateway/core/words";
import { overview } from "../gateway";
import { Bars, steps } from "../parts/bars";
import { Command, Empty, Refused, Section, State } from "../parts/basics";
import { Figure, SavedBySharing } from "../parts/figure";
import { Fix } from "../parts/server_buttons";
import { useResource } from "../resource";
import { to } from "../router";

const UP: ReadonlySet<string> = new Set(["good", "busy"]);
const SHOWN = 12;
const COMMAND = /^mcpgateway [\w ./~:=-]+$/;

export function OverviewPage() {
  const found = overview.value;
  if (!found) return <p role="status">Asking the gateway.</p>;
  if (!found.servers) return <FirstRun />;
  return (
    <>
      <Verdict />
      <Hour />
      <Saved />
      <div class="halves">
        <Running servers={found.backends} />
        <Here />
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
            <NeedRow key={`${each.kind} ${each.name} ${each.cause}`} need={each} />
          ))}
        </ul>
      )}
    </>
  );
}

function NeedRow({ need }: { need: Need }) {
  const isServer = need.kind === "server";
  const state = overview.value?.backends.find((each) => each.name === need.name)?.state;
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
      <span class="do">{COMMAND.test(need.do) ? <Command text={need.do} /> : plain(need.do)}</span>
      {need.kind === "file" && (
        <span class="buttons">
          <a class="button" href={to("clients")} aria-label={`Look at ${plain(need.name)}`}>
            Look
          </a>
        </span>
      )}
      {isServer && (
        <span class="buttons">
          <a class="button" href={to("servers", need.name)} aria-label={`Why ${need.name}`}>
            Why
          </a>
          <Fix name={need.name} remedy={need} />
        </span>
      )}
    </li>
  );
}

function Hour() {
  const { value, error } = useResource<Stats>("/api/health/stats", { every_s: 10 });
  if (error) return <Refused error={error} />;
  const calls = value?.timeline.reduce((sum, each) => sum + each.calls, 0);
  const failed = value?.timeline.reduce((sum, each) => sum + each.callErrors, 0);
  const first = value?.timeline[0]?.minuteTs ?? 0;
  return (
    <Section title="Calls in the last hour" extra={<a href={to("usage")}>Who uses what</a>}>
      <p class="figures">
        <Figure value={count(calls)} what="calls" />
        <Figure value={count(failed)} what="failed" isBad={Boolean(failed)} />
      </p>
      {value && <Bars steps={steps(value.timeline)} span="hour" />}
      {value && value.timelineSince > first && (
        <p class="quiet">Calls are known since {clock(value.timelineSince)}.</p>
      )}
    </Section>
  );
}

function Saved() {
  const { value } = useResource<Savings>("/api/v1/savings", { every_s: 15 });
  return (
    <Section title="Saved by sharing">
      <p class="figures">
        <SavedBySharing of={value} />
        <Figure value={tokens(value?.tokens.today)} what="tokens today" />
        <Figure value={memory(overview.value?.memory_mb)} what="used by the gateway" />
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

function Here() {
  const { value, error } = useResource<{ sessions: Session[] }>("/api/v1/sessions?limit=500", {
    every_s: 10,
  });
  const groups = new Map<string, { many: number; places: Set<string>; idle: number }>();
  for (const each of value?.sessions ?? []) {
    const name = each.client.name || "a client without a name";
    const group = groups.get(name) ?? { many: 0, places: new Set<string>(), idle: each.idle_seconds };
    group.many++;
    group.idle = Math.min(group.idle, each.idle_seconds);
    if (each.workspace) group.places.add(each.workspace);
    groups.set(name, group);
  }
  return (
    <Section title="Who is here" extra={<a href={to("clients")}>All sessions</a>}>
      {error && <Refused error={error} />}
      {groups.size > 0 && (
        <ul class="list">
          {[...groups].slice(0, SHOWN).map(([name, group]) => (
            <li key={name}>
              <b>{plain(name)}</b>
              <span>{counted(group.many, "session")}</span>
              <span class="quiet">
                {[...group.places].map(plain).join(", ") || `idle for ${duration(group.idle)}`}
              </span>
            </li>
          ))}
        </ul>
      )}
      {value && groups.size === 0 && (
        <Empty>
          No client has a session now. <a href={to("clients")}>Enrol a client's file</a>, or start a client
          that is enrolled.
        </Empty>
      )}
    </Section>
  );
}

function FirstRun() {
  return (
    <>
      <h1 class="verdict">No server is configured yet.</h1>
      <p class="buttons">
        <a class="button primary" href={to("add")}>
          Add a server
        </a>
        <a class="button" href={to("clients")}>
          Enrol your clients' files
        </a>
      </p>
      <p>
        In a terminal, <Command text="mcpgateway start" /> looks for the files of your clients and takes over
        their servers.
      </p>
    </>
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
