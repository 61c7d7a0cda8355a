/** Input that is not written yet: the user is asked before the page with it is left. */

import { useLayoutEffect } from "preact/hooks";
import { confirmed } from "./parts/dialog";

const edits = new Set<symbol>();

/** Have the user asked before the page is left, for as long as a form holds something unwritten. */
export function useUnsaved(isUnsaved: boolean): void {
  useLayoutEffect(() => {
    if (!isUnsaved) return;
    const mark = Symbol();
    edits.add(mark);
    return () => void edits.delete(mark);
  }, [isUnsaved]);
}

/** Return whether a form of the page holds something unwritten. */
export function isUnsaved(): boolean {
  return edits.size > 0;
}

/** Let the page be left with all that its forms hold. */
export function release(): void {
  edits.clear();
}

/** Ask the user whether the page may be left. */
export function mayLeave(): Promise<boolean> {
  return confirmed({
    title: "Leave the page?",
    effect: "The page has changes that are not written. They are lost when you leave it.",
    yes: "Leave",
  });
}
