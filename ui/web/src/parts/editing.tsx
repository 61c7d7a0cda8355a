/** An edit of settings: what is there, what the user has typed, and what somebody else has changed meanwhile. */

import { ApiError } from "@mcpgateway/core/api";
import {
  type Changes,
  type Conflict,
  changesOf,
  conflictsOf,
  refusedKey,
  textOf,
} from "@mcpgateway/core/settings";
import { plain } from "@mcpgateway/core/words";
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { act, isBusy, type Notice } from "../act";
import { api, returns } from "../gateway";
import { useUnsaved } from "../leaving";
import { Section } from "./basics";
import { Dialog } from "./dialog";
import { Difference, type Drafts } from "./settings_form";

export interface Edited<T> {
  value: T;
  tag: string;
}

export interface Editing<T> {
  found: Edited<T> | undefined;
  error: ApiError | undefined;
  drafts: Drafts;
  setDrafts: (drafts: Drafts) => void;
  changes: Changes;
  present: unknown;
  conflicts: Conflict[];
  /** What is wrong with a field, by dotted keys. */
  faults: Record<string, string>;
  setFaults: (faults: Record<string, string>) => void;
  /** Counts up when the fields begin anew. */
  version: number;
  /** Look at the present state again; the drafts stay unless they are written. */
  renew: (isWritten: boolean) => Promise<void>;
}

/** Edit what a route shows under a tag. */
export function useEditing<T>(path: string, presentOf: (value: T) => unknown): Editing<T> {
  const [found, setFound] = useState<Edited<T> | undefined>(undefined);
  const [error, setError] = useState<ApiError | undefined>(undefined);
  const [drafts, setDrafts] = useState<Drafts>({});
  const [conflicts, setConflicts] = useState<Conflict[]>([]);
  const [version, setVersion] = useState(0);
  const [faults, setFaults] = useState<Record<string, string>>({});
  const present = found ? presentOf(found.value) : {};
  const renew = async (isWritten: boolean) => {
    if (isWritten) {
      setDrafts({});
      setFaults({});
    }
    try {
      const { tag, value } = await api.getTagged<T>(path, "");
      if (value === undefined) return;
      const isAgain = found && !isWritten;
      setConflicts(isAgain ? conflictsOf(present, presentOf(value), Object.keys(drafts)) : []);
      setFound({ value, tag });
      setError(undefined);
      setVersion((former) => former + 1);
    } catch (why) {
      setError(why instanceof ApiError ? why : new ApiError(0, String(why)));
    }
  };
  useEffect(() => {
    void renew(true);
  }, [path]);
  useEffect(() => {
    if (error) void renew(false);
  }, [returns.value]);
  const changes = changesOf(present, drafts);
  useUnsaved(countOf(changes) > 0 || Object.keys(faults).length > 0);
  return {
    found,
    error,
    drafts,
    setDrafts,
    changes,
    present,
    conflicts,
    faults,
    setFaults,
    version,
    renew,
  };
}

function countOf(changes: Changes): number {
  return Object.keys(changes.set).length + changes.unset.length;
}

/** What somebody else has changed while the form was open. */
export function Merge<T>({ editing }: { editing: Editing<T> }) {
  const { conflicts, drafts, setDrafts, renew } = editing;
  if (!conflicts.length) return null;
  const take = (key: string) => {
    const mine = Object.entries(drafts).filter(([each]) => each !== key && !key.startsWith(`${each}.`));
    setDrafts(Object.fromEntries(mine));
    void renew(false);
  };
  const words = (value: unknown) => (value === undefined ? "not set" : plain(textOf("text", value)));
  return (
    <Section title="Changed by somebody else">
      <p>The present values are below; your changes are not written yet, and lie over them.</p>
      <ul class="difference">
        {conflicts.map((each) => (
          <li key={each.key}>
            <code>{plain(each.key)}</code> <del>{words(each.before)}</del> <span aria-hidden="true">→</span>{" "}
            <ins>{words(each.now)}</ins>{" "}
            {each.isMine && (
              <button type="button" aria-label={`Take theirs: ${each.key}`} onClick={() => take(each.key)}>
                Take theirs
              </button>
            )}
          </li>
        ))}
      </ul>
    </Section>
  );
}

/** The button that writes changes, after it has shown them, with the reason of a refusal. */
export function SaveButton<T>(props: {
  editing: Editing<T>;
  what: string;
  path: string;
  /** The beginning of the keys in the gateway's messages. */
  above: string;
  /** The sentence of the outcome. */
  done: (answer: never) => string | Notice;
  /** What the changes lead to. */
  children?: ComponentChildren;
}) {
  const { editing, what, path, above, done } = props;
  const { changes, present, found, faults, setFaults, renew } = editing;
  const [isAsked, setAsked] = useState(false);
  const [refusal, setRefusal] = useState("");
  const wrong = Object.keys(faults);
  const isEmpty = !countOf(changes) && !wrong.length;
  const isUnderWay = isBusy("PATCH", path);
  const ask = () => {
    setRefusal(wrong.length ? "The changes are not written: a field has no valid value." : "");
    if (wrong[0]) show(wrong[0]);
    else setAsked(true);
  };
  const write = async () => {
    setAsked(false);
    const answer = await act({
      method: "PATCH",
      path,
      body: changes,
      headers: { "If-Match": found?.tag ?? "*" },
      done: done as (answer: unknown) => string | Notice,
      rights: "admin",
      limit_ms: 90_000,
      refused: (why) => {
        if (why.status !== 412) {
          const key = refusedKey(why.message, above);
          setRefusal([plain(why.message), why.hint && plain(why.hint)].filter(Boolean).join(". "));
          if (key) {
            setFaults({ [key]: plain(why.message.split(`${above}${key}: `).pop() ?? why.message) });
            show(key);
          }
          return undefined;
        }
        void renew(false);
        return `Somebody else has changed ${what} meanwhile: look at the changes, and save again`;
      },
    });
    if (answer !== undefined) await renew(true);
  };
  return (
    <>
      <button
        type="button"
        class="primary"
        disabled={isEmpty || isUnderWay}
        aria-busy={isUnderWay}
        onClick={ask}
      >
        {isUnderWay ? "Saving" : "Save"}
      </button>
      {refusal && !isEmpty && !isUnderWay && (
        <p role="alert" class="refused beside">
          {refusal}
        </p>
      )}
      {isAsked && (
        <Dialog title={`Write these changes of ${what}?`} onClose={() => setAsked(false)}>
          <Difference present={present} changes={changes} />
          {props.children}
          <div class="buttons">
            <button type="button" class="primary" onClick={write}>
              Write
            </button>
            <button type="button" onClick={() => setAsked(false)}>
              Cancel
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

/** Bring the field of a key into sight, wherever it is folded away. */
function show(key: string): void {
  const field = document.getElementById(`field-${key}`);
  field?.closest("details")?.setAttribute("open", "");
  field?.focus();
}
