/** The gateway itself: its release, configuration, memory and events. */

import type { SeriesMinute } from "@mcpgateway/core/model";
import { access, clock, count, counted, duration, memory, plain, sinceStart } from "@mcpgateway/core/words";
import { events, now, overview } from "../gateway";
import { restartingGateway, shuttingDown } from "../operations";
import { ActButton, Command, Empty, Section } from "../parts/basics";
import { ConfigurationSections } from "../parts/configuration";
import { FindingsSection } from "../parts/findings";
import { JobsSection } from "../parts/jobs";
import { Line } from "../parts/lines";
import { Log } from "../parts/log";
import { useResource } from "../resource";

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
        <Power sessions={found.sessions} />
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

function Power({ sessions }: { sessions: number }) {
  return (
    <span class="buttons">
      <ActButton {...restartingGateway(sessions)}>Restart</ActButton>
      <ActButton {...shuttingDown(sessions)}>Shut down</ActButton>
    </span>
  );
}
