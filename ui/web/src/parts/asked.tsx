/** What a server asks back during a call: values from the user, or a text that a model would write. */

import { entriesOf, fieldsOf, filled } from "@mcpgateway/core/form";
import { plain } from "@mcpgateway/core/words";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Asked } from "../playground";
import { Cut } from "./cut";
import { Fields } from "./fields";
import { listOf, Part } from "./result";

export function AskedForm({ asked }: { asked: Asked }) {
  const place = useRef<HTMLFormElement>(null);
  useEffect(() => {
    // The call waits for this: the user is led there.
    place.current?.querySelector<HTMLElement>("input, select, textarea, button")?.focus();
  }, []);
  const [entries, setEntries] = useState(() => entriesOf(fieldsOf(asked.params.requestedSchema)));
  const [faults, setFaults] = useState<Record<string, string>>({});
  const [text, setText] = useState("");
  const fields = useMemo(() => fieldsOf(asked.params.requestedSchema), [asked]);
  const isForm = asked.kind === "elicitation";
  const submit = (event: Event) => {
    event.preventDefault();
    if (!isForm) {
      asked.answer({
        role: "assistant",
        content: { type: "text", text },
        model: "a person",
        stopReason: "endTurn",
      });
      return;
    }
    const found = filled(fields, entries);
    setFaults(found.faults);
    if (Object.keys(found.faults).length) return;
    asked.answer(
      asked.params.mode === "url" ? { action: "accept" } : { action: "accept", content: found.values },
    );
  };
  const title = isForm ? "The server asks you" : "The server asks a model: answer in its place";
  return (
    <form class="draft asked" ref={place} onSubmit={submit} aria-label={title}>
      <h3>{title}</h3>
      {isForm ? (
        <>
          <p>{plain(String(asked.params.message ?? ""))}</p>
          <Address url={asked.params.url} />
          <Fields
            id={`asked-${asked.id}`}
            fields={fields}
            entries={entries}
            faults={faults}
            onChange={setEntries}
          />
        </>
      ) : (
        <Prompt params={asked.params} text={text} id={`asked-${asked.id}`} onText={setText} />
      )}
      <div class="buttons">
        <button type="submit" class="primary">
          {isForm ? "Accept" : "Send"}
        </button>
        {isForm && (
          <button type="button" onClick={() => asked.answer({ action: "decline" })}>
            Decline
          </button>
        )}
        <button
          type="button"
          aria-label={isForm ? "Cancel the question" : undefined}
          onClick={() => (isForm ? asked.answer({ action: "cancel" }) : asked.refuse("The user refuses"))}
        >
          {isForm ? "Cancel" : "Refuse"}
        </button>
      </div>
    </form>
  );
}

/** The address that the server wants the user to open: a link only where it leads by HTTPS. */
function Address({ url }: { url: unknown }) {
  if (typeof url !== "string") return null;
  const isSafe = URL.canParse(url) && new URL(url).protocol === "https:";
  return (
    <p>
      <code>{plain(url)}</code>{" "}
      {isSafe && (
        <a href={url} target="_blank" rel="noreferrer noopener">
          Open {plain(new URL(url).host)}
        </a>
      )}
    </p>
  );
}

function Prompt(props: {
  params: Asked["params"];
  text: string;
  id: string;
  onText: (text: string) => void;
}) {
  const { params, text, id, onText } = props;
  return (
    <>
      {typeof params.systemPrompt === "string" && (
        <pre tabIndex={0}>
          <Cut text={params.systemPrompt} most={10_000} name="prompt.txt" />
        </pre>
      )}
      {listOf(params.messages).map((each, index) => (
        <div key={index}>
          <p class="quiet">{plain(String(each.role))}</p>
          {(Array.isArray(each.content) ? listOf(each.content) : listOf([each.content])).map((part, at) => (
            <Part key={at} part={part} />
          ))}
        </div>
      ))}
      <label for={id}>The model's answer, {String(params.maxTokens ?? "—")} tokens at most</label>
      <textarea
        id={id}
        rows={4}
        required
        value={text}
        onInput={(event) => onText(event.currentTarget.value)}
      />
    </>
  );
}
