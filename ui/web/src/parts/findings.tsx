/** The findings of the doctor, worst first, with a button for each that the gateway can repair. */

import { counted, plain } from "@mcpgateway/core/words";
import { useResource } from "../resource";
import { ActButton, Command, Empty, Refused, Section } from "./basics";

interface Finding {
  id: string;
  level: "ok" | "note" | "problem";
  text: string;
  advice: string;
  run: string;
  more: string[];
  /** The repair, such as `remove PATH`; empty where the user has to decide. */
  repair: string;
}

const PATH = "/api/v1/doctor";
// The doctor looks at all processes of the machine, and repairs start processes.
const LIMIT_MS = 60_000;

export function FindingsSection() {
  const { value, error, reload } = useResource<{ passed: number; findings: Finding[] }>(PATH, {
    isLive: false,
  });
  const again = (
    <button type="button" onClick={reload}>
      Look again
    </button>
  );
  const problems = value?.findings.filter((each) => each.level === "problem") ?? [];
  const notes = value?.findings.filter((each) => each.level === "note" && (each.advice || each.repair)) ?? [];
  return (
    <Section title="Findings of the doctor" extra={again}>
      {error && <Refused error={error} />}
      {!value && !error && <p role="status">The doctor looks at the machine.</p>}
      {value && !problems.length && (
        <Empty>{counted(value.passed, "check")} passed, no problem was found.</Empty>
      )}
      {problems.length > 0 && <List found={problems} reload={reload} />}
      {notes.length > 0 && (
        <details open={notes.some((each) => each.repair)}>
          <summary>{counted(notes.length, "note")} worth knowing</summary>
          <List found={notes} reload={reload} />
        </details>
      )}
    </Section>
  );
}

function List({ found, reload }: { found: Finding[]; reload: () => void }) {
  return (
    <ul class="problems">
      {found.map((each, index) => (
        <li key={`${each.id} ${index}`}>
          <span class={each.level === "problem" ? "failed" : "warned"}>
            <span aria-hidden="true">{each.level === "problem" ? "✖" : "○"}</span>{" "}
            {each.level === "problem" ? "Problem: " : "Note: "}
          </span>
          {plain(each.text)} <Remedy finding={each} />
          {each.repair && (
            <ActButton
              label={`Fix: ${plain(each.repair)}`}
              act={{
                method: "POST",
                path: `${PATH}/${encodeURIComponent(each.id)}/fix`,
                done: "Fixed",
                rights: "admin",
                limit_ms: LIMIT_MS,
              }}
              question={{
                title: "Fix this?",
                effect: `The gateway will: ${found
                  .filter((one) => one.id === each.id)
                  .map((one) => plain(one.repair))
                  .join("; ")}.`,
                yes: "Fix",
              }}
              then={reload}
            >
              Fix
            </ActButton>
          )}
          {each.more.length > 0 && (
            <ul>
              {each.more.map((line) => (
                <li key={line}>{plain(line)}</li>
              ))}
            </ul>
          )}
        </li>
      ))}
    </ul>
  );
}

function Remedy({ finding: { advice, run } }: { finding: Finding }) {
  if (!run || !advice.endsWith(run)) return <span class="hint">{plain(advice)} </span>;
  return (
    <span class="hint">
      {plain(advice.slice(0, -run.length))} <Command text={run} />{" "}
    </span>
  );
}
