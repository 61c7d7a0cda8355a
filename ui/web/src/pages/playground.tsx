/** One tool: what it takes, and a call of it in a session of the page's own. */

import { ApiError } from "@mcpgateway/core/api";
import { type Entries, entriesOf, fieldsOf, filled, isObject, parsed } from "@mcpgateway/core/form";
import type { Progress } from "@mcpgateway/core/mcp";
import type { ToolDescription } from "@mcpgateway/core/model";
import { type PastCall, withoutSecrets } from "@mcpgateway/core/snippets";
import { plain } from "@mcpgateway/core/words";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { missed, overview, returns } from "../gateway";
import { useUnsaved } from "../leaving";
import { AskedForm } from "../parts/asked";
import { Empty, Refused, Section } from "../parts/basics";
import { Copies, Frames, PastCalls } from "../parts/call_extras";
import { confirmed } from "../parts/dialog";
import { Fields } from "../parts/fields";
import { Result } from "../parts/result";
import { handedOver, remember } from "../past_calls";
import { type Playground, usePlayground } from "../playground";
import { to } from "../router";
import { signed } from "../session";
import { described, isMissing, known, toolId } from "../tool_lists";

export function PlaygroundPage({ id }: { id: string }) {
  const [tool, setTool] = useState<ToolDescription | undefined>(undefined);
  const [error, setError] = useState<ApiError | undefined>(undefined);
  const [isAsked, setAsked] = useState(false);
  const isKnown = Boolean(overview.value);
  const find = (how: typeof known) => {
    setError(undefined);
    how(id).then(setTool, (why) => {
      const found = why instanceof ApiError ? why : new ApiError(0, String(why));
      const { server, tool: name } = handedOver.value?.call ?? {};
      // The user has asked for a call of this tool, for which its server is asked and started all the same.
      if (how === known && isMissing(found) && server && toolId(server, name ?? "") === id) return ask();
      setError(found);
      if (!found.status) missed();
    });
  };
  const ask = () => {
    setAsked(true);
    find(described);
  };
  useEffect(() => {
    if (isKnown && !tool) find(known);
  }, [id, isKnown, signed.value.token, returns.value]);
  return (
    <>
      <nav class="crumbs" aria-label="Breadcrumb">
        <a href={to("tools")}>Tools</a>
        {tool && <a href={to("servers", tool.server, "tools")}>{plain(tool.server)}</a>}
      </nav>
      <header class="page">
        <h1>
          <code>{plain(tool?.name ?? id)}</code>
        </h1>
        {tool && <span class={tool.tier === "destructive" ? "tier bad" : "tier"}>{tool.tier}</span>}
      </header>
      {error && !tool && !(isMissing(error) && !isAsked) && <Refused error={error} />}
      {isMissing(error) && !tool && !isAsked && (
        <Empty>
          No list that the gateway has names this tool. Its server may have it for clients that answer
          questions, as this page does, or was not asked yet.{" "}
          <button type="button" onClick={ask}>
            Ask its server
          </button>
        </Empty>
      )}
      {!tool && !error && <p role="status">Asking the gateway.</p>}
      {tool && <Tool key={tool.id} tool={tool} />}
    </>
  );
}

interface Outcome {
  result?: Record<string, unknown>;
  fault?: string;
  ms: number;
}

function Tool({ tool }: { tool: ToolDescription }) {
  const fields = useMemo(() => fieldsOf(tool.inputSchema), [tool]);
  const session = usePlayground(tool.server);
  const [entries, setEntries] = useState<Entries>(() => entriesOf(fields));
  const [json, setJson] = useState<string | undefined>(undefined);
  const [faults, setFaults] = useState<Record<string, string>>({});
  const [progress, setProgress] = useState<Progress | undefined>(undefined);
  const [outcome, setOutcome] = useState<Outcome | undefined>(undefined);
  const [ending, setEnding] = useState<AbortController | undefined>(undefined);
  const [limit_s, setLimit] = useState(0);
  const [isTyped, setTyped] = useState(false);
  useUnsaved(isTyped);
  const isTask = tool.execution?.taskSupport === "required";
  const isConfirmed = useRef(tool.tier !== "destructive");
  const written = () => (json === undefined ? filled(fields, entries) : read(json));
  const submit = (event: Event) => {
    event.preventDefault();
    const { values, faults: found } = written();
    setFaults(found);
    if (!Object.keys(found).length) void call(values);
  };
  const call = async (values: Record<string, unknown>) => {
    if (!isConfirmed.current && !(await confirmed(question(tool, values)))) return;
    isConfirmed.current = true;
    const stopping = new AbortController();
    setEnding(stopping);
    setTyped(false);
    setOutcome(undefined);
    setProgress(undefined);
    const at = Date.now();
    let isLate = false;
    const late = () => {
      isLate = true;
      stopping.abort();
    };
    const timer = limit_s > 0 ? setTimeout(late, limit_s * 1000) : undefined;
    let made: Outcome;
    try {
      const asked = { name: tool.name, arguments: values };
      const options = { signal: stopping.signal, onProgress: setProgress };
      const result = await session.use((client) =>
        isTask ? client.callAsTask(asked, options) : client.request("tools/call", asked, options),
      );
      made = { result, ms: Date.now() - at };
    } catch (why) {
      const fault = isLate ? `The call took longer than ${limit_s} s, and was cancelled` : words(why);
      made = { fault, ms: Date.now() - at };
    }
    clearTimeout(timer);
    setEnding(undefined);
    setProgress(undefined);
    setOutcome(made);
    const isError = made.result === undefined || made.result.isError === true;
    const args = withoutSecrets(values);
    for (const each of fields) if (each.isSecret) delete args[each.name];
    remember({ server: tool.server, tool: tool.name, args, at, ms: made.ms, isError });
  };
  const again = ({ args }: { args: PastCall["args"] }) => {
    const made = entriesOf(fields, args);
    setEntries(made);
    // The form has no place for what the schema does not name.
    const isWhole = isSame(filled(fields, made).values, args);
    setJson(json === undefined && isWhole ? undefined : JSON.stringify(args, null, 2));
  };
  useEffect(() => {
    const given = handedOver.value;
    handedOver.value = undefined;
    if (given?.call.server !== tool.server || given.call.tool !== tool.name) return;
    const { args, left } = given.call;
    again({ args });
    setFaults(Object.fromEntries(left.map((each) => [each, "This value is a secret, which nothing keeps."])));
    if (given.isRun && !left.length) void call(args);
  }, [tool]);
  const type =
    <T,>(set: (value: T) => void) =>
    (value: T) => {
      setTyped(true);
      set(value);
    };
  const anew = () => {
    session.end();
    const { values, faults: found } = written();
    setFaults(found);
    if (!Object.keys(found).length) void call(values);
  };
  const turn = () =>
    setJson(json === undefined ? JSON.stringify(filled(fields, entries).values, null, 2) : undefined);
  return (
    <>
      <p class="description">{plain(tool.description ?? "")}</p>
      <div class="played">
        <form class="draft" onSubmit={submit} aria-label={`Call ${tool.name}`}>
          <header class="section">
            <h2>Arguments</h2>
            <button type="button" aria-pressed={json !== undefined} onClick={turn}>
              JSON
            </button>
          </header>
          {json === undefined ? (
            <Fields
              id="argument"
              fields={fields}
              entries={entries}
              faults={faults}
              onChange={type(setEntries)}
            />
          ) : (
            <JsonField text={json} fault={faults[""] ?? ""} onText={type(setJson)} />
          )}
          {!fields.length && json === undefined && <p class="quiet">The tool takes no arguments.</p>}
          {isTask && (
            <p class="quiet">
              The tool runs as a task: its status is shown until its result is there, and Cancel ends it.
            </p>
          )}
          <Root session={session} />
          <div class="buttons">
            <button type="submit" class="primary" disabled={Boolean(ending)} aria-busy={Boolean(ending)}>
              Call
            </button>
            <button type="button" disabled={!ending} onClick={() => ending?.abort()}>
              Cancel
            </button>
            <label class="choice">
              Time limit{" "}
              <input
                type="number"
                class="short"
                min={0}
                value={limit_s || ""}
                placeholder="none"
                onInput={(event) => setLimit(Number(event.currentTarget.value) || 0)}
              />{" "}
              s
            </label>
          </div>
          {ending && <ProgressBar progress={progress} />}
        </form>
        <div class="answered">
          {session.asked.value.map((each) => (
            <AskedForm key={each.id} asked={each} />
          ))}
          <Section title="Result">
            {!outcome && (
              <Empty>{ending ? "The call is under way." : "The result of the call is shown here."}</Empty>
            )}
            {outcome?.fault && (
              <p role="alert" class="refused">
                {plain(outcome.fault)}
              </p>
            )}
            {outcome?.result && <Result result={outcome.result} ms={outcome.ms} />}
            {(outcome?.fault || outcome?.result?.isError === true) && (
              <p>
                <button type="button" onClick={anew}>
                  Call again in a new session
                </button>
              </p>
            )}
          </Section>
          <Frames session={session} />
        </div>
      </div>
      <Copies server={tool.server} tool={tool.name} args={() => written().values} />
      <PastCalls server={tool.server} tool={tool.name} onAgain={again} />
    </>
  );
}

function words(why: unknown): string {
  return why instanceof Error ? why.message : String(why);
}

function question(tool: ToolDescription, values: Record<string, unknown>) {
  return {
    title: `Call ${plain(tool.name)}?`,
    effect: `The tool may destroy something: ${plain(tool.server)} does not say that it is harmless. Its arguments are ${plain(JSON.stringify(values)).slice(0, 500)}`,
    yes: "Call it",
  };
}

function isSame(one: Record<string, unknown>, other: Record<string, unknown>): boolean {
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((each) => JSON.stringify(one[each]) === JSON.stringify(other[each]))
  );
}

function read(json: string): { values: Record<string, unknown>; faults: Record<string, string> } {
  try {
    const values = parsed(json.trim() || "{}");
    if (isObject(values)) return { values, faults: {} };
    return { values: {}, faults: { "": "The arguments are an object" } };
  } catch (why) {
    return { values: {}, faults: { "": why instanceof Error ? why.message : String(why) } };
  }
}

function JsonField({ text, fault, onText }: { text: string; fault: string; onText: (text: string) => void }) {
  return (
    <label>
      Arguments as JSON
      <textarea
        rows={8}
        spellcheck={false}
        value={text}
        aria-invalid={Boolean(fault)}
        onInput={(event) => onText(event.currentTarget.value)}
      />
      <span role="status" class={fault ? "refused" : "unseen"}>
        {fault}
      </span>
    </label>
  );
}

function Root({ session }: { session: Playground }) {
  return (
    <details>
      <summary>Directory</summary>
      <label>
        The root that the server is told, for example /home/me/project
        <input
          value={session.root.value}
          onChange={(event) => {
            session.end();
            session.root.value = event.currentTarget.value.trim();
          }}
        />
      </label>
    </details>
  );
}

function ProgressBar({ progress }: { progress: Progress | undefined }) {
  const { progress: done, total, message } = progress ?? {};
  return (
    <p>
      <progress
        aria-label="Progress of the call"
        max={total ?? 1}
        value={total === undefined ? undefined : done}
      />{" "}
      <span role="status">
        {done === undefined
          ? "The call is under way."
          : `${done}${total === undefined ? "" : ` of ${total}`}`}{" "}
        {plain(message ?? "")}
      </span>
    </p>
  );
}
