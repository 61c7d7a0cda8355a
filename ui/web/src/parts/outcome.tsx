/** The outcome of the latest act, which a screen reader says. */

import { dismiss, notice } from "../act";

export function Outcome() {
  const told = notice.value;
  return (
    <div class="notice">
      <p role="status">{!told?.isError && told?.text}</p>
      <p role="alert" class="bad">
        {told?.isError && told.text}
      </p>
      {told?.undo && (
        <button type="button" onClick={told.undo}>
          Undo
        </button>
      )}
      {told && (
        <button type="button" class="quiet" aria-label="Dismiss the message" title="Escape" onClick={dismiss}>
          ✕
        </button>
      )}
    </div>
  );
}
