/** One call: where its time went, the questions that it caused, its messages, and the calls around it. */

import { type Call, type Frame, type OneCall, repeatable, whoOf } from "@mcpgateway/core/calls";
import { clock, count, milliseconds, plain, UNKNOWN } from "@mcpgateway/core/words";
import { useEffect, useState } from "preact/hooks";
import { overview } from "../gateway";
import { Refused, Section } from "../parts/basics";
import { Copies } from "../parts/call_extras";
import { Outcome } from "../parts/call_list";
import { Cut } from "../parts/cut";
import { isServer } from "../parts/server_link";
import { Waterfall } from "../parts/waterfall";
import { handedOver } from "../past_calls";
import { useResource } from "../resource";
import { go, to } from "../router";
import { may } from "../session";
import { known, toolId } from "../tool_lists";
import { Calls } from "./calls";

const MOST = 10_000;

export function CallPage({ id }: { id: string }) {
  return (
    <>
      <nav class="crumbs" aria-label="Breadcrumb">
        <a href={to("calls")}>Calls</a>
      </nav>
      {may("admin") ? (
        <Known id={id} />
      ) : (
        <>
          <h1>A call</h1>
          <Calls />
        </>
      )}
    </>
  );
}

function Known({ id }: { id: string }) {
  const { value, error } = useResource<OneCall>(`/api/v1/activity/${encodeURIComponent(id)}`, {
    isLive: false,
  });
  if (error || !value)
    return (
      <>
        <h1>A call</h1>
        {error ? <Refused error={error} /> : <p role="status">Asking the gateway.</p>}
      </>
    );
  const { record } = value;
  return (
    <>
      <header class="page">
        <h1>
          {plain(record.server)} <code>{plain(record.tool || record.method || id)}</code>
        </h1>
        <Outcome call={record} />
      </header>
      <Facts record={record} />
      <Section title="Where its time went">
        <Waterfall call={value} />
      </Section>
      <Messages call={value} />
      {record.trace && <Around title="Calls of the same trace" id={record.trace} own={id} />}
      {record.session && <Around title="Calls of the same session" id={record.session} own={id} />}
    </>
  );
}

function Facts({ record }: { record: Call }) {
  const rows: [string, string | undefined][] = [
    ["Ended", clock(record.at)],
    ["Took", milliseconds(record.ms)],
    ["Client", whoOf(record)],
    ["Directory", record.project],
    ["Process", record.pid === undefined ? undefined : String(record.pid)],
    ["Caller", record.principal],
    ["Request", record.sent_bytes ? `${count(record.sent_bytes)} bytes` : undefined],
    ["Answer", record.answer_bytes ? `${count(record.answer_bytes)} bytes` : undefined],
    ["Session", record.session],
    ["Trace", record.trace],
    ["Node", record.node || undefined],
    ["Error", record.error],
  ];
  return (
    <dl class="facts">
      {rows.map(
        ([name, value]) =>
          value !== undefined && (
            <>
              <dt>{name}</dt>
              <dd>{plain(value) || UNKNOWN}</dd>
            </>
          ),
      )}
    </dl>
  );
}

function Messages({ call }: { call: OneCall }) {
  const { server, tool, method } = call.record;
  const isListed = useIsListed(server, tool ?? "");
  // A server may have the tool for clients that answer its questions, as the playground does: it has answered once.
  const isThere = isListed || (isListed === false && isServer(server) && call.record.outcome === "ok");
  const again = isThere ? repeatable(call) : undefined;
  const playground = to("tools", toolId(server, tool ?? ""));
  const play = (isRun: boolean) => {
    if (again) handedOver.value = { call: again, isRun };
    go(playground);
  };
  return (
    <Section title="Messages">
      {call.is_recorded ? (
        <>
          <ol class="frames">
            {call.messages.map((each, index) => (
              <Message key={index} frame={each} />
            ))}
          </ol>
          <p class="quiet">Secrets are left out.</p>
        </>
      ) : (
        <p class="empty">
          The messages of this call are no longer kept: the flight recorder keeps the latest of each server.
        </p>
      )}
      {again && (
        <>
          <Copies server={again.server} tool={again.tool} args={() => again.args} />
          <p class="buttons">
            <button type="button" class="primary" onClick={() => play(true)}>
              Do it again
            </button>
            <button type="button" onClick={() => play(false)}>
              Open in the playground
            </button>
            {again.left.length > 0 && (
              <span class="quiet">
                Secrets are typed again there, since nothing keeps them: {plain(again.left.join(", "))}.
              </span>
            )}
          </p>
        </>
      )}
      {isListed === false && !again && tool && (
        <p class="empty">
          No list that the gateway has names this tool now, so the call cannot be done again.{" "}
          {isServer(server) && call.record.outcome === "ok" && (
            <a href={playground}>The playground asks the server for it</a>
          )}
        </p>
      )}
      {isListed && !again && tool && method === "tools/call" && (
        <p>
          The gateway has not kept the arguments of this call, so the call cannot be done again.{" "}
          <a href={playground}>Open the tool in the playground</a>
        </p>
      )}
    </Section>
  );
}

/** Whether the tool of a call is there for another call; undefined until that is known. */
function useIsListed(server: string, tool: string): boolean | undefined {
  const [isListed, setListed] = useState<boolean | undefined>(undefined);
  const isTold = Boolean(overview.value);
  useEffect(() => {
    if (!isTold) return;
    if (!tool || !isServer(server)) setListed(false);
    else
      known(toolId(server, tool)).then(
        () => setListed(true),
        () => setListed(false),
      );
  }, [server, tool, isTold]);
  return isListed;
}

function Message({ frame }: { frame: Frame }) {
  const { message, text = "", bytes } = frame;
  const isSent = frame.direction === "to-server";
  const method =
    typeof message?.method === "string" ? message.method : message && "error" in message ? "error" : "answer";
  const shown = message ? JSON.stringify(message, null, 2) : text;
  return (
    <li>
      <details open={shown.length < 2000}>
        <summary>
          {isSent ? "To the server" : "From the server"}: {plain(method)}, {count(bytes)} bytes,{" "}
          {clock(frame.at)}
          {message ? "" : ", only its beginning is kept"}
        </summary>
        <pre tabIndex={0}>
          <Cut text={shown} most={MOST} name="call.json" />
        </pre>
      </details>
    </li>
  );
}

function Around({ title, id, own }: { title: string; id: string; own: string }) {
  const { value } = useResource<{ records: Call[] }>(
    `/api/v1/activity?limit=200&id=${encodeURIComponent(id)}`,
    { isLive: false },
  );
  const others = (value?.records ?? []).filter((each) => each.id !== own);
  if (!others.length) return null;
  return (
    <Section title={title}>
      <ul class="list">
        {others.reverse().map((each) => (
          <li key={each.id}>
            <a href={to("calls", each.id)}>{clock(each.at)}</a>
            <span>
              {plain(each.server)} <code>{plain(each.tool || each.method)}</code>
            </span>
            <span class="quiet">{milliseconds(each.ms)}</span>
            <Outcome call={each} />
          </li>
        ))}
      </ul>
    </Section>
  );
}
