/** Dialogs, which the browser itself makes modal: focus stays within, Escape closes, focus goes back. */

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

/** A question before an act: the effect in one sentence, and the word on the button. */
export interface Question {
  title: string;
  effect: string;
  yes: string;
}

const asked = signal<{ question: Question; answer: (is: boolean) => void } | undefined>(undefined);

/** Ask the user; return whether the answer is yes. */
export function confirmed(question: Question): Promise<boolean> {
  return new Promise((answer) => {
    asked.value = { question, answer };
  });
}

/** A modal dialog. */
export function Dialog(props: {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  kind?: "palette";
}) {
  const place = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const former = document.activeElement as HTMLElement | null;
    place.current?.showModal();
    // The browser would choose the first button, such as one that copies.
    place.current?.querySelector<HTMLElement>("input:not([type=checkbox]), textarea, select")?.focus();
    return () =>
      // The page takes no focus before the dialog is gone, and what it has led to may have it by then.
      queueMicrotask(() => {
        if ((document.activeElement ?? document.body) === document.body) former?.focus?.();
      });
  }, []);
  return (
    <dialog ref={place} class={props.kind} aria-labelledby="dialog-title" onClose={props.onClose}>
      <h2 id="dialog-title">{props.title}</h2>
      {props.children}
    </dialog>
  );
}

/** The place of the question that is being asked. */
export function Confirmation() {
  const found = asked.value;
  if (!found) return null;
  const answer = (is: boolean) => {
    asked.value = undefined;
    found.answer(is);
  };
  const { title, effect, yes } = found.question;
  return (
    <Dialog title={title} onClose={() => answer(false)}>
      <p>{effect}</p>
      <div class="buttons">
        <button type="button" class="primary" onClick={() => answer(true)}>
          {yes}
        </button>
        <button type="button" onClick={() => answer(false)}>
          Cancel
        </button>
      </div>
    </Dialog>
  );
}
