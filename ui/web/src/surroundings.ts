/** What the pages need of the place where they are shown: a tab of a browser, or a panel of an editor (`embedded`). */

export interface Surroundings {
  /** The scheme, host and port at which clients reach the gateway. */
  origin: string;
  fetch: typeof fetch;
  /** Return the address that is shown. */
  address: () => URL;
  /** Take note of another address. */
  move: (address: string, isReplacing: boolean) => void;
  /** Let the user keep a text as a file. */
  save: (name: string, type: string, text: string) => void;
}

export const surroundings: Surroundings = {
  origin: location.origin,
  fetch: (input, init) => fetch(input, init),
  address: () => new URL(location.href),
  move: (address, isReplacing) => history[isReplacing ? "replaceState" : "pushState"](null, "", address),
  save: (name, type, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    URL.revokeObjectURL(link.href);
  },
};
