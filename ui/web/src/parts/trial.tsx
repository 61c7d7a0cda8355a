/** A trial of a server: it is started once in the steps of `mcpgateway servers test`, and nothing is written. */

import { counted, milliseconds, plain, tokens } from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import { act, isBusy } from "../act";

interface Report {
  passed: boolean;
  tools: string[];
  tool_tokens: number;
  stderr: string[];
  steps: { step: string; passed: boolean; elapsed_s: number; detail: string; advice?: string }[];
}

const PATH = "/api/v1/servers/validate";
/** The most that a trial takes: a package may have to be downloaded. */
export const TRIAL_MS = 300_000;

function tookMs({ steps }: Report): number {
  return steps.reduce((sum, each) => sum + each.elapsed_s * 1000, 0);
}

/** A button that tries a server, and what that came to. */
export function Trial({ name, body, isOff }: { name: string; body: object; isOff?: boolean }) {
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
  };
  return (
    <>
      <button type="button" disabled={isOff || isUnderWay} aria-busy={isUnderWay} onClick={run}>
        {isUnderWay ? "Trying it" : "Try it first"}
      </button>
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
    </>
  );
}
