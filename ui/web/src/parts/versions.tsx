/** The change of a file as a diff, before it is made, and the former versions of a file. */

import { clock, plain } from "@mcpgateway/core/words";
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { type Act, act } from "../act";
import { useResource } from "../resource";
import { Empty, Refused } from "./basics";
import { Dialog } from "./dialog";

/** The changes that the gateway would make, as `POST /clients/plan` answers them. */
export interface Plan {
  files: { path?: string; diff: string[]; error?: string }[];
}

/** An act that is shown as a diff, and done after a look. */
export interface Reviewed {
  title: string;
  /** What becomes of the file, besides the diff. */
  effect: ComponentChildren;
  /** The word on the button; empty where the diff is all. */
  yes: string;
  /** Answers with the change. */
  look: Act;
  make?: Act;
}

/** A button that shows a change as a diff, in which the change can be made. */
export function ReviewButton(props: { label: string; reviewed: Reviewed; children: ComponentChildren }) {
  const { label, reviewed } = props;
  const [lines, setLines] = useState<string[]>();
  const look = async () => {
    const found = await act<Plan & { diff?: string[] }>(reviewed.look);
    if (found) setLines(found.diff ?? linesOf(found));
  };
  const close = () => setLines(undefined);
  const make = async () => {
    close();
    if (reviewed.make) await act(reviewed.make);
  };
  return (
    <>
      <button type="button" aria-label={label} title={label} onClick={() => void look()}>
        {props.children}
      </button>
      {lines && (
        <Dialog title={reviewed.title} onClose={close}>
          <p>{reviewed.effect}</p>
          <pre class="log diff" tabIndex={0} role="region" aria-label="Changes">
            {lines.length
              ? lines.map((each, index) => <span key={index} class={tone(each)}>{`${plain(each)}\n`}</span>)
              : "The text of the file stays as it is."}
          </pre>
          <div class="buttons">
            {reviewed.make && (
              <button type="button" class="primary" onClick={() => void make()}>
                {reviewed.yes}
              </button>
            )}
            <button type="button" onClick={close}>
              {reviewed.make ? "Cancel" : "Close"}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

function linesOf(plan: Plan): string[] {
  return plan.files.flatMap((each) => (each.error ? [each.error] : each.diff));
}

function tone(line: string): string {
  if (/^(?:---|\+\+\+) /.test(line)) return "";
  return { "+": "added", "-": "removed" }[line.slice(0, 1)] ?? "";
}

/** A former version of a file. */
export interface Version {
  version: number;
  at: string;
  /** The version before the change is there to be looked at, and to return to. */
  kept: boolean;
}

/** The changes of a file, which are asked for when the list is opened. */
export function Versions<T extends Version>(props: VersionsProps<T>) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details class="versions" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary aria-label={`History of ${props.of}`}>History</summary>
      {isOpen && <VersionList {...props} />}
    </details>
  );
}

interface VersionsProps<T extends Version> {
  /** The route of the versions. */
  path: string;
  /** The name of the file. */
  of: string;
  told: (version: T) => ComponentChildren;
  look: (version: T) => Reviewed;
  back: (version: T) => Reviewed;
}

function VersionList<T extends Version>({ path, of, told, look, back }: VersionsProps<T>) {
  const { value, error } = useResource<{ versions: T[] }>(path);
  if (error) return <Refused error={error} />;
  if (!value) return <p role="status">Asking the gateway.</p>;
  if (!value.versions.length) return <Empty>The gateway has not changed this file yet.</Empty>;
  return (
    <ol class="versions">
      {value.versions.map((each) => (
        <li key={each.version}>
          <time dateTime={each.at}>{clock(each.at)}</time> <span>{told(each)}</span>
          {each.kept ? (
            <span class="buttons">
              <ReviewButton label={`Diff of change ${each.version} of ${of}`} reviewed={look(each)}>
                Diff
              </ReviewButton>
              <ReviewButton label={`Return ${of} to before change ${each.version}`} reviewed={back(each)}>
                Back to before this
              </ReviewButton>
            </span>
          ) : (
            <span class="quiet">no longer kept</span>
          )}
        </li>
      ))}
    </ol>
  );
}
