/** The gateway's beginning and end, by its own program. */

import { homedir } from "node:os";
import {
  absence,
  argumentsFor,
  candidates,
  complaintOf,
  firstOf,
  type Given,
  type Program,
  type Ran,
  ran,
} from "./program";

const START_LIMIT_MS = 90_000;
const STOP_LIMIT_MS = 90_000;

export interface StarterOptions {
  /** The program of the settings; empty for the first that is found. */
  chosen: () => string;
  home: () => string;
  changed: () => void;
  log: (line: string) => void;
}

export class Starter {
  readonly #options: StarterOptions;
  #program: Program | undefined;
  #starting: Promise<string> | undefined;

  /** How often starts have failed since the gateway answered last. */
  failures = 0;
  triedAt = 0;
  /** Whether the user has started the gateway in this window, and not stopped it. */
  isWanted = false;
  /** Whether a look for the program found none. */
  isMissing = false;

  constructor(options: StarterOptions) {
    this.#options = options;
  }

  get isStarting(): boolean {
    return this.#starting !== undefined;
  }

  /** Return the program, which is looked for until it is found; undefined where there is none. */
  async program(): Promise<Program | undefined> {
    const { chosen, log } = this.#options;
    const paths = candidates(chosen(), process.env.PATH ?? "", homedir());
    if (!this.#program || !paths.includes(this.#program.path)) {
      this.#program = await firstOf(paths);
      if (this.#program) log(`The program is ${this.#program.path}, release ${this.#program.version}`);
    }
    this.isMissing = !this.#program;
    return this.#program;
  }

  /** Start the gateway; return the sentence of the failure, empty for a success. Attempts at a time are one. */
  start(): Promise<string> {
    if (!this.#starting) {
      this.triedAt = Date.now();
      this.#starting = this.#run(["start"], START_LIMIT_MS).then((fault) => {
        this.#starting = undefined;
        this.failures = fault ? this.failures + 1 : 0;
        this.#options.changed();
        return fault;
      });
      this.#options.changed();
    }
    return this.#starting;
  }

  /** Stop the gateway as its user does: clients' files are restored. */
  async stop(): Promise<string> {
    this.isWanted = false;
    return await this.#run(["stop"], STOP_LIMIT_MS);
  }

  /** Run a command of the program; undefined where there is none. */
  async command(words: readonly string[], limit_ms: number, given?: Given): Promise<Ran | undefined> {
    const program = await this.program();
    if (!program) return undefined;
    const done = await ran(program.path, argumentsFor(this.#options.home(), words), limit_ms, given);
    for (const line of `${done.out}\n${done.err}`.split("\n")) if (line.trim()) this.#options.log(line);
    return done;
  }

  async #run(words: readonly string[], limit_ms: number): Promise<string> {
    const done = await this.command(words, limit_ms);
    if (!done) return absence();
    return done.code === 0 ? "" : complaintOf(done);
  }
}
