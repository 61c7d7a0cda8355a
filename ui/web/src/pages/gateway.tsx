/** The gateway itself: its release, configuration, memory and events. */

import type { SeriesMinute } from "@mcpgateway/core/model";
import { access, clock, count, counted, duration, memory, plain, sinceStart } from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import { act, tell } from "../act";
import { api, events, now, overview } from "../gateway";
import { restartingGateway, shuttingDown } from "../operations";
import { ActButton, Command, Empty, Section } from "../parts/basics";
import { ConfigurationSections } from "../parts/configuration";
import { FindingsSection } from "../parts/findings";
import { JobsSection } from "../parts/jobs";
import { Line } from "../parts/lines";
import { Log } from "../parts/log";
import { save } from "../parts/save";
import { useResource } from "../resource";
import { may } from "../session";

// The doctor looks at the whole machine.
const BUNDLE_MS = 60_000;

export function GatewayPage() {
  const found = overview.value;
  const hour = useResource<{ items: SeriesMinute[] }>("/api/v1/series", { every_s: 60, isLive: false });
  const sizes = (of: "memory_mb" | "processes" | "sessions") =>
    (hour.value?.items ?? []).map((each) => ({ at: each.at, value: each[of] }));
  if (!found) return <p role="status">Asking the gateway.</p>;
  return (
    <>
      <header class="page">
        <h1>Gateway</h1>
        <span class="buttons">
          <SupportBundle />
          <Power sessions={found.sessions} />
        </span>
      </header>
      <dl class="facts">
        <dt>Release</dt>
        <dd>{found.version}</dd>
        <dt>Up for</dt>
        <dd>
          {duration(sinceStart(found.started_at, now.value))}, since {clock(found.started_at)}
        </dd>
        <dt>Memory</dt>
        <dd>
          {memory(found.memory_mb)} <Line points={sizes("memory_mb")} what="Memory" show={memory} />
        </dd>
        <dt>Processes of servers</dt>
        <dd>
          {count(found.backends.reduce((sum, each) => sum + each.pids.length, 0))}{" "}
          <Line points={sizes("processes")} what="Processes" show={count} />
        </dd>
        <dt>Sessions</dt>
        <dd>
          {count(found.sessions)} <Line points={sizes("sessions")} what="Sessions" show={count} />
        </dd>
        <dt>Configuration</dt>
        <dd>
          {found.config.ok ? "in order" : "has errors"}, read at {clock(found.config.loaded_at)}
          {found.config.warnings > 0 && `, ${counted(found.config.warnings, "warning")}`}
        </dd>
        <dt>Access</dt>
        <dd>{access(found.auth)}</dd>
        <dt>Listens at</dt>
        <dd>
          {found.listeners?.map((each) => (
            <code key={each}>{plain(each)} </code>
          ))}
        </dd>
      </dl>
      <p class="quiet">
        <Command text="mcpgateway config edit" /> opens the configuration.
      </p>
      <FindingsSection />
      <ConfigurationSections />
      <JobsSection />
      <Section title="Log">
        <Log path="/api/v1/log" of="gateway" />
      </Section>
      <Section title="Events">
        {events.value.length ? (
          <ol class="history">
            {events.value.map((each, index) => (
              <li key={`${each.time} ${index}`}>
                <time dateTime={each.time}>{clock(each.time)}</time> {plain(each.text)}
              </li>
            ))}
          </ol>
        ) : (
          <Empty>Nothing has happened since this page was opened.</Empty>
        )}
      </Section>
    </>
  );
}

const BUNDLE = {
  overview: "/api/v1/overview",
  doctor: "/api/v1/doctor",
  config: "/api/v1/config",
  dump: "/api/v1/debug/dump",
};

/** A button that keeps as a file what helps to find a fault; the gateway has taken the secrets out of all of it. */
function SupportBundle() {
  const [isUnderWay, setUnderWay] = useState(false);
  const make = async () => {
    setUnderWay(true);
    const found: Record<string, unknown> = { made_at: new Date().toISOString() };
    for (const [name, path] of Object.entries(BUNDLE)) {
      found[name] = await act({ method: "GET", path, done: "", limit_ms: BUNDLE_MS, rights: "admin" });
      if (!may("admin")) break;
    }
    if (may("admin")) {
      const log = await api.request("GET", "/api/v1/log?follow=false&tail=500");
      found.log = [...(await log.text()).matchAll(/^data: (.*)$/gm)].map(([, line]) => line);
      save("mcpgateway-support.json", "application/json", JSON.stringify(found, null, 2));
      tell({ text: "The support bundle is saved; its secrets are masked", isError: false });
    }
    setUnderWay(false);
  };
  return (
    <button type="button" disabled={isUnderWay} aria-busy={isUnderWay} onClick={() => void make()}>
      {isUnderWay ? "Collecting" : "Support bundle"}
    </button>
  );
}

function Power({ sessions }: { sessions: number }) {
  return (
    <span class="buttons">
      <ActButton {...restartingGateway(sessions)}>Restart</ActButton>
      <ActButton {...shuttingDown(sessions)}>Shut down</ActButton>
    </span>
  );
}
