/** The calls of all servers, live. */

import type { Usage } from "@mcpgateway/core/model";
import { count, milliseconds } from "@mcpgateway/core/words";
import { unlock } from "../act";
import { Bars } from "../parts/bars";
import { Refused } from "../parts/basics";
import { CallList } from "../parts/call_list";
import { Figure } from "../parts/figure";
import { useResource } from "../resource";
import { may } from "../session";

export function CallsPage() {
  return (
    <>
      <header class="page">
        <h1>Calls</h1>
      </header>
      <Calls />
    </>
  );
}

/** The calls of one server, or of all; only their numbers for a browser that may see no more. */
export function Calls({ server = "" }: { server?: string }) {
  return may("admin") ? <CallList key={server} server={server} /> : <Numbers server={server} />;
}

function Numbers({ server }: { server: string }) {
  const { value, error } = useResource<Usage>("/api/v1/usage?by=server&minutes=60", { every_s: 10 });
  const told = server ? value?.items.find((each) => each.name === server) : value;
  return (
    <>
      {error && <Refused error={error} />}
      {value && (
        <p class="figures">
          <Figure value={count(told?.calls ?? 0)} what="calls in the last hour" />
          <Figure value={count(told?.failed ?? 0)} what="failed" isBad={Boolean(told?.failed)} />
          <Figure value={milliseconds(told?.p50_ms)} what="median" />
          <Figure value={milliseconds(told?.p95_ms)} what="p95" />
        </p>
      )}
      {value && !server && <Bars steps={value.series} span="hour" />}
      <p>
        Who called which tool, and with what, is for an administrator: it tells what the users of this machine
        do.{" "}
        <button type="button" onClick={() => unlock("admin")}>
          Unlock the calls
        </button>
      </p>
    </>
  );
}
