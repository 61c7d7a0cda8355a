/** The catalogue: servers that are installed by name, with the inputs that they need. */

/** An input of a server. */
export interface Need {
  name: string;
  about: string;
  required?: boolean;
  secret?: boolean;
  default?: string;
  choices?: string[];
}

/** A server of the catalogue. */
export interface Item {
  name: string;
  source: "recipe" | "registry";
  title: string;
  description: string;
  version: string;
  /** Its command line, or its URL. */
  runs: string;
  installable: boolean;
  reason: string;
  deprecated: boolean;
  needs: Need[];
}

/** The answer of a search. */
export interface Found {
  items: Item[];
  /** The reason why the registry could not be searched; empty where it could. */
  problem: string;
}

/** An installation runs the server once, which may have to be downloaded first. */
export const INSTALL_MS = 300_000;

/** Return the path of a search. */
export const searchPath = (query: string): string => `/api/v1/catalog?q=${encodeURIComponent(query)}`;

/** Return the path of an installation. */
export const installPath = ({ name }: Item): string =>
  `/api/v1/catalog/${name.split("/").map(encodeURIComponent).join("/")}/install`;

/** Return the sentence of what an installation does. */
export const effectOf = ({ runs }: Item): string =>
  `The gateway ${/^https?:/.test(runs) ? "connects to" : "runs, as you,"} ${runs}, lists its tools, and writes it into its configuration.`;

/** Return whether an input has to be given; the gateway may have a value for a secret already. */
export const isNeeded = ({ required, secret, default: usual }: Need): boolean =>
  Boolean(required) && !secret && usual === undefined;
