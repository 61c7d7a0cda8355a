/** The fields of a form that is made from a JSON Schema. */

import { type Entries, type Entry, type Field, own } from "@mcpgateway/core/form";
import { plain } from "@mcpgateway/core/words";
import { useEffect, useState } from "preact/hooks";

export interface FieldsProps {
  /** The beginning of the fields' ids, which are unique on a page. */
  id: string;
  fields: readonly Field[];
  entries: Entries;
  faults: Record<string, string>;
  onChange: (entries: Entries) => void;
  /** Return values that may be meant by the beginning of one. */
  complete?: Complete | undefined;
}

export type Complete = (name: string, value: string) => Promise<string[]>;

const TYPED_MS = 200;

export function Fields({ id, fields, entries, faults, onChange, complete }: FieldsProps) {
  return (
    <>
      {fields.map((each) => (
        <FieldRow
          key={each.name}
          id={`${id}-${each.name}`}
          field={each}
          entry={own(entries, each.name) ?? ""}
          fault={own(faults, each.name) ?? ""}
          onEntry={(entry) => onChange({ ...entries, [each.name]: entry })}
          complete={complete && ((value) => complete(each.name, value))}
        />
      ))}
    </>
  );
}

interface RowProps {
  id: string;
  field: Field;
  entry: Entry;
  fault: string;
  onEntry: (entry: Entry) => void;
  complete: ((value: string) => Promise<string[]>) | undefined;
}

function FieldRow(props: RowProps) {
  const { id, field, fault } = props;
  const hints = [
    field.description,
    field.kind === "lines" && "One value a line.",
    field.kind === "json" && "JSON.",
  ];
  const hint = hints.filter(Boolean).join(" ");
  return (
    <div class="field">
      {field.kind !== "flag" && <Title {...props} />}
      <Control {...props} />
      {field.kind === "flag" && <Title {...props} />}
      <p id={`${id}-hint`} class={hint ? "hint" : "unseen"}>
        {plain(hint)}
      </p>
      <p id={`${id}-fault`} role="status" class={fault ? "refused" : "unseen"}>
        {fault}
      </p>
    </div>
  );
}

function Title({ id, field }: RowProps) {
  return (
    <label for={id}>
      {plain(field.title)}
      {field.isRequired && <span class="quiet"> (needed)</span>}
    </label>
  );
}

/** The values that may be meant by what was typed, asked for when the user pauses. */
function useCompletion(complete: RowProps["complete"], value: string): string[] {
  const [found, setFound] = useState<string[]>([]);
  useEffect(() => {
    if (!complete) return;
    let isLatest = true;
    const timer = setTimeout(async () => {
      const values = await complete(value);
      if (isLatest) setFound(values);
    }, TYPED_MS);
    return () => {
      isLatest = false;
      clearTimeout(timer);
    };
  }, [value, Boolean(complete)]);
  return found;
}

function Control({ id, field, entry, fault, onEntry, complete }: RowProps) {
  const common = { id, "aria-describedby": `${id}-hint ${id}-fault`, "aria-invalid": Boolean(fault) };
  const text = typeof entry === "string" ? entry : "";
  const completed = useCompletion(complete, text);
  switch (field.kind) {
    case "flag":
      return (
        <input
          {...common}
          type="checkbox"
          checked={entry === true}
          onChange={(event) => onEntry(event.currentTarget.checked)}
        />
      );
    case "choice":
      return (
        <select {...common} value={text} onChange={(event) => onEntry(event.currentTarget.value)}>
          <option value="">—</option>
          {field.options.map((each) => (
            <option key={each.value} value={each.value}>
              {plain(each.title)}
            </option>
          ))}
        </select>
      );
    case "choices":
      return (
        <select
          {...common}
          multiple
          onChange={(event) => onEntry([...event.currentTarget.selectedOptions].map((each) => each.value))}
        >
          {field.options.map((each) => (
            <option
              key={each.value}
              value={each.value}
              selected={Array.isArray(entry) && entry.includes(each.value)}
            >
              {plain(each.title)}
            </option>
          ))}
        </select>
      );
    case "lines":
    case "json":
      return (
        <textarea
          {...common}
          rows={3}
          spellcheck={false}
          value={text}
          onInput={(event) => onEntry(event.currentTarget.value)}
        />
      );
    default:
      return (
        <>
          <input
            {...common}
            type={(field.isSecret ? "password" : "text") as "text"}
            inputMode={field.kind === "number" ? "decimal" : "text"}
            autocomplete="off"
            spellcheck={false}
            list={completed.length ? `${id}-values` : undefined}
            value={text}
            onInput={(event) => onEntry(event.currentTarget.value)}
          />
          {completed.length > 0 && (
            <datalist id={`${id}-values`}>
              {completed.map((each) => (
                <option key={each} value={each} />
              ))}
            </datalist>
          )}
        </>
      );
  }
}
