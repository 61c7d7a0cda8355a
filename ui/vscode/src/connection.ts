/** The way to the gateway of the settings, with the token that a gateway at a URL may want. */

import { readFile } from "node:fs/promises";
import { homedir, tmpdir, userInfo } from "node:os";
import { Api } from "@mcpgateway/core/api";
import { type Place, placeOf } from "./place";
import type { Gate } from "./relay";
import type { Settings } from "./settings";
import { type Transport, transportTo } from "./transport";

/** Keeps secrets; `vscode.SecretStorage` is one. */
export interface Secrets {
  get(key: string): Thenable<string | undefined>;
  store(key: string, value: string): Thenable<void>;
  delete(key: string): Thenable<void>;
}

const TOKEN_LIMIT = 4096;
const FITTING = /^[\x21-\x7e]+$/; // a header's value

export class Connection {
  readonly api: Api;
  readonly transport: Transport;
  #token = "";

  constructor(
    readonly place: Place,
    readonly secrets: Secrets,
  ) {
    this.transport = transportTo(place);
    this.api = new Api({ base: place.base, token: () => this.#token, fetch: this.transport.fetch });
  }

  get token(): string {
    return this.#token;
  }

  /** The gateway, for requests of pages. */
  get gate(): Gate {
    return { base: this.place.base, token: this.#token, fetch: this.transport.fetch };
  }

  // A token is for one address only, so that no other gateway gets it.
  get #key(): string {
    return `token:${this.place.base}`;
  }

  /** Read the token of a gateway at a URL: the stored one, or that of a file. */
  async readToken(file: string): Promise<void> {
    if (this.place.socket) return;
    const stored = (await this.secrets.get(this.#key)) ?? "";
    this.#token = stored || (await tokenIn(file));
  }

  /** Keep another token, or none; it is stored where the editor keeps secrets. */
  async keepToken(token: string): Promise<void> {
    this.#token = token;
    await (token ? this.secrets.store(this.#key, token) : this.secrets.delete(this.#key));
  }
}

/** Return the gateway's place in the surroundings of this process. */
export function placeHere(settings: Settings): Place {
  const hasSockets = process.platform !== "win32";
  const uid = hasSockets ? userInfo().uid : 0;
  return placeOf(settings, {
    environ: process.env,
    userHome: homedir(),
    temporary: tmpdir(),
    uid,
    hasSockets,
  });
}

async function tokenIn(file: string): Promise<string> {
  if (!file) return "";
  try {
    const text = (await readFile(file.replace(/^~(?=\/|$)/, homedir()), "utf8")).trim();
    return text.length <= TOKEN_LIMIT && FITTING.test(text) ? text : "";
  } catch {
    return "";
  }
}

/** Return why a text is no token; empty if it may be one. */
export function faultOfToken(text: string): string {
  if (!text) return "";
  return text.length <= TOKEN_LIMIT && FITTING.test(text)
    ? ""
    : "A token has no spaces and no special characters";
}
