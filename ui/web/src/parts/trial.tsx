/** A trial of a server: it is started once in the steps of `mcpgateway servers test`, and nothing is written. */

import { counted, milliseconds, plain, tokens } from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import { act, isBusy } from "../act";

interface Report {
  passed: boolean;
  tools: string[];
  tool_tokens: number;
  stderr: string[];
  steps: {
    step: string;
    passed: boolean;
    elapsed_s: number;
    detail: string;
    class?: string;
    advice?: string;
  }[];
}

const PATH = "/api/v1/servers/validate";
/** The most that a trial takes: a package may have to be downloaded. */
export const TRIAL_MS = 300_000;

/** Whether a trial has failed only since nobody has signed in at the server. */
export function wantsSignIn({ passed, steps }: Report): boolean {
  return !passed && steps.every((each) => each.passed || each.class === "needs login");
}

function tookMs({ steps }: Report): number {
  return steps.reduce((sum, each) => sum + each.elapsed_s * 1000, 0);
}

/** What a trial needs, and what came of the latest one. */
interface Tried {
  report: Report | undefined;
  isUnderWay: boolean;
  /** Try it; undefined where that was refused. */
  run: () => Promise<Report | undefined>;
}

/** Tries a server by its definition, or one that there is with changes. */
export function useTrial(name: string, body: object): Tried {
  const [report, setReport] = useState<Report | undefined>(undefined);
  const isUnderWay = isBusy("POST", PATH);
  const run = async () => {
    setReport(undefined);
    const found = await act<Report>({
      method: "POST",
      path: PATH,
      body: { name, ...body },
      done: `${name} is tried`,
      rights: "admin",
      limit_ms: TRIAL_MS,
    });
    setReport(found);
    return found;
  };
  return { report, isUnderWay, run };
}

/** A button that tries a server, and what that came to. */
export function Trial({ name, body }: { name: string; body: object }) {
  const { report, isUnderWay, run } = useTrial(name, body);
  return (
    <>
      <button type="button" disabled={isUnderWay} aria-busy={isUnderWay} onClick={() => void run()}>
        {isUnderWay ? "Trying it" : "Try it first"}
      </button>
      <TrialReport name={name} report={report} />
    </>
  );
}

/** The steps of a trial. */
export function TrialReport({ name, report }: { name: string; report: Report | undefined }) {
  return (
    <div role="status">
      {report && (
        <ol class="steps" aria-label={`Trial of ${name}`}>
          {report.steps.map((each) => (
            <li key={each.step}>
              <span class={each.passed ? "good" : "failed"} aria-hidden="true">
                {each.passed ? "✓" : "✖"}
              </span>{" "}
              {each.step} {each.passed ? "" : "failed "}
              <span class="quiet">{milliseconds(each.elapsed_s * 1000)}</span> {plain(each.detail)}
              {each.advice && <span class="do"> {plain(each.advice)}</span>}
            </li>
          ))}
          {report.passed && (
            <li>
              All steps passed, in {milliseconds(tookMs(report))}. The definitions of{" "}
              {counted(report.tools.length, "tool")} take about {tokens(report.tool_tokens)} tokens.
            </li>
          )}
        </ol>
      )}
      {report && report.tools.length > 0 && (
        <details>
          <summary>{counted(report.tools.length, "tool")}</summary>
          <p>{report.tools.map(plain).join(", ")}</p>
        </details>
      )}
      {report && report.stderr.length > 0 && (
        <details>
          <summary>Last lines of its output</summary>
          <pre tabIndex={0}>{report.stderr.map(plain).join("\n")}</pre>
        </details>
      )}
    </div>
  );
}
