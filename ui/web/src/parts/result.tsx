/** What a server answers: texts as texts, images of a few types, all else as JSON. */

import { isObject } from "@mcpgateway/core/form";
import { count, milliseconds, plain, tokens } from "@mcpgateway/core/words";
import { useEffect, useState } from "preact/hooks";
import { Cut } from "./cut";
import { JsonTree } from "./json_tree";

const IMAGES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);
const MOST = 10_000;
const CHARACTERS_PER_TOKEN = 4; // as the gateway estimates

/** The result of a call with its size. */
export function Result({ result, ms }: { result: Record<string, unknown>; ms: number }) {
  const content = listOf(result.content);
  const size = JSON.stringify(result).length;
  return (
    <>
      <p role="status" class={result.isError ? "refused" : "quiet"}>
        {result.isError ? "The tool reports a failure" : "Answered"} after {milliseconds(ms)}: {count(size)}{" "}
        characters, about {tokens(Math.floor(size / CHARACTERS_PER_TOKEN))} tokens
      </p>
      {content.map((each, index) => (
        <Part key={index} part={each} />
      ))}
      {result.structuredContent !== undefined && (
        <JsonTree name="structuredContent" value={result.structuredContent} />
      )}
      <details>
        <summary>The result as JSON</summary>
        <JsonTree value={result} />
      </details>
    </>
  );
}

/** One part of a result, a prompt's message or a resource. */
export function Part({ part }: { part: Record<string, unknown> }) {
  if (typeof part.text === "string") return <Text text={part.text} type={part.mimeType} />;
  if (part.type === "image" || (typeof part.blob === "string" && IMAGES.has(String(part.mimeType))))
    return <Image data={String(part.data ?? part.blob)} type={String(part.mimeType)} />;
  if (isObject(part.resource))
    return (
      <>
        <p class="quiet">
          <code>{plain(String(part.resource.uri ?? ""))}</code>
        </p>
        <Part part={part.resource} />
      </>
    );
  return <JsonTree value={part} />;
}

/** A text; a page of HTML is shown as its source and never drawn. */
function Text({ text, type }: { text: string; type: unknown }) {
  return (
    <>
      {typeof type === "string" && <p class="quiet">{plain(type)}, as text</p>}
      <pre tabIndex={0}>
        <Cut text={text} most={MOST} name="result.txt" />
      </pre>
    </>
  );
}

function Image({ data, type }: { data: string; type: string }) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    if (!IMAGES.has(type)) return;
    try {
      const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
      const made = URL.createObjectURL(new Blob([bytes], { type }));
      setUrl(made);
      return () => URL.revokeObjectURL(made);
    } catch {
      return;
    }
  }, [data, type]);
  if (!url) return <p class="quiet">{plain(type)}, which this page does not draw</p>;
  return <img src={url} class="result" alt={`The answer's picture, ${type}`} />;
}

/** Return the objects of a list; nothing where it is none. */
export function listOf(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}
