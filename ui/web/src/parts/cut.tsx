/** A text that may be very long: its beginning, its size, and the whole on demand. */

import { count, plain } from "@mcpgateway/core/words";
import { useState } from "preact/hooks";
import { save } from "./save";

/** Show at most so many characters of a text at first; `name` is that of the file that is downloaded. */
export function Cut({ text, most, name = "text.txt" }: { text: string; most: number; name?: string }) {
  const [isWhole, setWhole] = useState(false);
  if (text.length <= most) return <>{plain(text)}</>;
  return (
    <>
      {plain(isWhole ? text : text.slice(0, most))}
      <span class="buttons cut">
        {!isWhole && (
          <button type="button" onClick={() => setWhole(true)}>
            Show all {count(text.length)} characters
          </button>
        )}
        <button type="button" onClick={() => save(name, "text/plain", text)}>
          Download
        </button>
      </span>
    </>
  );
}
