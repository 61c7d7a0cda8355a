/** The fields of a form that is made from a schema, the names with their values, and the changes before they are written. */

import {
  type Changes,
  type Field,
  isMasked,
  kindFor,
  NotFitting,
  namesIn,
  presentAt,
  textOf,
  valueAt,
  valueFrom,
} from "@mcpgateway/core/settings";
import { plain } from "@mcpgateway/core/words";
import { useState } from "preact/hooks";

/** What the user has typed: values by dotted keys; undefined takes a key away. */
export type Drafts = Record<string, unknown>;

export interface FormProps {
  fields: Field[];
  present: unknown;
  /** The source of each value that counts. */
  sources: Record<string, { value: unknown; from: string }>;
  drafts: Drafts;
  onDrafts: (drafts: Drafts) => void;
  /** What is wrong with a field, by dotted keys. */
  faults: Record<string, string>;
  onFaults: (faults: Record<string, string>) => void;
}

/** The fields, one below the other. */
export function Fields(props: FormProps) {
  return (
    <>
      {props.fields.map((each) =>
        each.kind === "names" ? (
          <Names key={each.key} field={each} {...props} />
        ) : (
          <OneField key={each.key} field={each} {...props} />
        ),
      )}
    </>
  );
}

function OneField(props: FormProps & { field: Field }) {
  const { field, present, sources, drafts, onDrafts, faults, onFaults } = props;
  const { key } = field;
  const held = valueAt(present, key);
  const kind = kindFor(field, held);
  const isDrafted = key in drafts;
  const [text, setText] = useState(textOf(kind, isDrafted ? drafts[key] : held));
  const fault = faults[key] ?? "";
  const id = `field-${key}`;
  const change = (typed: string) => {
    setText(typed);
    const { [key]: _, ...others } = faults;
    try {
      onDrafts({ ...drafts, [key]: valueFrom(field, kind, typed) });
      onFaults(others);
    } catch (why) {
      if (!(why instanceof NotFitting)) throw why;
      onFaults({ ...others, [key]: why.message });
    }
  };
  const described = { id, "aria-describedby": `${id}-hint`, "aria-invalid": Boolean(fault) };
  const counts = sources[key];
  const fallback = textOf(kind, counts?.value ?? field.fallback);
  const isHidden = isMasked(held) && !isDrafted;
  return (
    <div class={isDrafted ? "setting changed" : "setting"}>
      <label for={id}>{key}</label>
      {isHidden ? (
        <span class="hidden-value">
          a part of it is secret, and not shown{" "}
          <button type="button" id={id} aria-label={`Replace ${key}`} onClick={() => change("")}>
            Replace
          </button>
        </span>
      ) : kind === "choice" ? (
        <select {...described} value={text} onChange={(event) => change(event.currentTarget.value)}>
          <option value="">{fallback ? `as it is: ${fallback}` : "as it is"}</option>
          {field.choices.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      ) : kind === "list" ? (
        <textarea
          {...described}
          rows={Math.min(10, text.split("\n").length + 1)}
          spellcheck={false}
          value={text}
          onInput={(event) => change(event.currentTarget.value)}
        />
      ) : (
        <input
          {...described}
          spellcheck={false}
          autocomplete="off"
          value={text}
          placeholder={fallback}
          onInput={(event) => change(event.currentTarget.value)}
        />
      )}
      <p class="hint" id={`${id}-hint`}>
        {fault ? <span class="refused">{plain(fault)}. </span> : null}
        {field.says}
        {kind === "list" && " One on each line."}
        {counts?.from.includes(":") && <span class="from"> From {plain(counts.from)}.</span>}
      </p>
    </div>
  );
}

/** Names with values that are set and not shown, such as variables and headers. */
function Names({ field, present, drafts, onDrafts }: FormProps & { field: Field }) {
  const [name, setName] = useState("");
  const above = `${field.key}.`;
  const drafted = Object.keys(drafts).filter((each) => each.startsWith(above));
  const names = [
    ...new Set([...namesIn(valueAt(present, field.key)), ...drafted.map((each) => each.slice(above.length))]),
  ];
  const put = (each: string, value: unknown) => onDrafts({ ...drafts, [above + each]: value });
  const keep = (each: string) => {
    const { [above + each]: _, ...rest } = drafts;
    onDrafts(rest);
  };
  const add = () => {
    if (name.trim()) put(name.trim(), "");
    setName("");
  };
  return (
    <fieldset class="setting">
      <legend>{field.key}</legend>
      <ul class="names">
        {names.map((each) => {
          const key = above + each;
          const held = presentAt(present, key);
          const isDrafted = key in drafts;
          return (
            <li key={each} class={isDrafted ? "changed" : ""}>
              <code>{plain(each)}</code>
              {!isDrafted ? (
                <span class="quiet">
                  {isMasked(held) ? "set, not shown" : <code>{plain(String(held))}</code>}
                </span>
              ) : drafts[key] === undefined ? (
                <span class="quiet">is removed</span>
              ) : (
                <input
                  aria-label={`Value of ${each}`}
                  spellcheck={false}
                  autocomplete="off"
                  value={String(drafts[key])}
                  onInput={(event) => put(each, event.currentTarget.value)}
                />
              )}
              <span class="buttons">
                {isDrafted ? (
                  <button type="button" aria-label={`Leave ${each} as it is`} onClick={() => keep(each)}>
                    Leave it
                  </button>
                ) : (
                  <>
                    <button type="button" aria-label={`Replace ${each}`} onClick={() => put(each, "")}>
                      Replace
                    </button>
                    <button type="button" aria-label={`Remove ${each}`} onClick={() => put(each, undefined)}>
                      Remove
                    </button>
                  </>
                )}
              </span>
            </li>
          );
        })}
      </ul>
      <div class="filters">
        <input
          aria-label={`New name in ${field.key}`}
          id={`field-${field.key}`}
          placeholder="NAME"
          spellcheck={false}
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
        />
        <button type="button" onClick={add} disabled={!name.trim()}>
          Add to {field.key}
        </button>
      </div>
      <p class="hint">
        {field.says} {"${NAME}"} takes a value from the gateway's own file of values.
      </p>
    </fieldset>
  );
}

const SECRET = /^(env|headers|credentials|auth\.token|oauth\.client_secret)(\.|$)/;

/** What is about to be written: each key with its value before and after. */
export function Difference({ present, changes }: { present: unknown; changes: Changes }) {
  const shown = (key: string, value: unknown, isNew: boolean) => {
    if (value === undefined) return "not set";
    if (SECRET.test(key)) return isNew ? "a new value" : "set, not shown";
    return textOf("text", value);
  };
  const rows = [
    ...Object.entries(changes.set),
    ...changes.unset.map((each): [string, unknown] => [each, undefined]),
  ];
  return (
    <ul class="difference" aria-label="Changes">
      {rows.map(([key, value]) => (
        <li key={key}>
          <code>{plain(key)}</code> <del>{plain(shown(key, presentAt(present, key), false))}</del>{" "}
          <span aria-hidden="true">→</span> <ins>{plain(shown(key, value, true))}</ins>
        </li>
      ))}
    </ul>
  );
}
