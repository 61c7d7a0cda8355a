/** The parts of one window together: settings, connection, watch, views, and what commands do with them. */

import { uptime } from "node:os";
import { ApiError } from "@mcpgateway/core/api";
import type { GatewayEvent } from "@mcpgateway/core/model";
import * as vscode from "vscode";
import { type Bar, barOf } from "./bar";
import { Connection, placeHere } from "./connection";
import type { Trees } from "./extension";
import { type Ending, endingOf, isOwn, type Place } from "./place";
import { type Project, SILENT } from "./project";
import { startAt } from "./recovery";
import { otherRelease } from "./releases";
import { gatewayRows, groupRows, serverRows } from "./rows";
import { type Settings, settingsFrom } from "./settings";
import { Starter } from "./starter";
import { type Known, UNKNOWN, Watch } from "./watch";

/** A command: the row is undefined where it comes from the palette. */
export type Command = (bench: Workbench, ...args: unknown[]) => Promise<unknown>;

/** A part of the window that follows the gateway; parts are independent of each other. */
export interface Part extends vscode.Disposable {
  /** Take note of a change of the gateway, or of the window. */
  follow?(known: Known): void;
}

const OLDER = "mcpGateway";
const OURS = "mcpgateway";
const TICK_MS = 1000;

export class Workbench implements vscode.Disposable {
  readonly log = vscode.window.createOutputChannel("MCP Gateway", { log: true });
  readonly #happened = new vscode.EventEmitter<Known>();
  /** Fires when something about the gateway has changed. */
  readonly onChange = this.#happened.event;
  readonly #events = new vscode.EventEmitter<GatewayEvent>();
  /** Fires with each event of the gateway. */
  readonly onEvent = this.#events.event;
  readonly #bar = vscode.window.createStatusBarItem("mcpgateway", vscode.StatusBarAlignment.Left, 50);
  readonly #parts: Part[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly starter: Starter;
  settings: Settings = settingsFrom(() => undefined);
  connection!: Connection;
  #watch: Watch | undefined;
  #missedAt = 0;
  #wasHere = false;
  #notice = "";
  #contexts = new Map<string, unknown>();
  project: Project = SILENT;

  constructor(
    readonly context: vscode.ExtensionContext,
    readonly trees: Trees,
    readonly commands: Record<string, Command>,
  ) {
    this.starter = new Starter({
      chosen: () => this.settings.path,
      home: () => this.place.home,
      changed: () => this.show(),
      log: (line) => this.log.info(line),
    });
    this.#bar.name = "MCP Gateway";
    this.#bar.command = "mcpgateway.menu";
    this.#timer = setInterval(() => this.#recover(), TICK_MS);
    context.subscriptions.push(
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration(OURS) || event.affectsConfiguration(OLDER)) void this.connect();
      }),
      vscode.window.onDidChangeWindowState(({ focused }) => this.#watch?.focus(focused)),
      this.log,
      this.#bar,
      this.#happened,
      this.#events,
    );
  }

  /** Whether the project is to use the gateway; undefined where nothing says so. */
  get isOfProject(): boolean | undefined {
    return this.project.isEnabled;
  }

  /** The endpoint for the chat: that of the project's profile, or of the setting. */
  get offered(): string {
    return this.project.profile ? `profile:${this.project.profile}` : this.settings.offerToChat;
  }

  get place(): Place {
    return this.connection.place;
  }

  get known(): Known {
    return this.#watch?.known ?? UNKNOWN;
  }

  get ending(): Ending {
    return isOwn(this.place) ? endingOf(this.place.home, Date.now() - uptime() * 1000) : "ended";
  }

  /** Whether the gateway is to be started without being asked for. */
  get isWanted(): boolean {
    if (this.starter.isWanted) return true;
    return this.isOfProject !== false && (this.settings.autoStart || this.isOfProject === true);
  }

  /** Add a part, which ends with the window. */
  add(part: Part): void {
    this.#parts.push(part);
  }

  /** Connect to the gateway of the settings; a connection to the same one stays. */
  async connect(): Promise<void> {
    this.settings = settingsFrom((name) => vscode.workspace.getConfiguration().inspect(name));
    let place: Place;
    try {
      place = placeHere(this.settings);
    } catch (why) {
      this.failed("The setting cannot be used", why);
      place = placeHere({ ...this.settings, url: "" });
    }
    const isSame = this.connection && JSON.stringify(place) === JSON.stringify(this.place);
    if (!isSame) {
      this.#watch?.end();
      this.connection = new Connection(place, this.context.secrets);
      this.#missedAt = 0;
      this.#wasHere = false;
    }
    await this.connection.readToken(this.settings.tokenFile);
    if (isSame && this.#watch) {
      await this.#watch.poll();
    } else {
      this.log.info(`The gateway is at ${place.socket || place.base}`);
      this.#watch = new Watch({
        api: this.connection.api,
        failure: this.connection.transport.failure,
        pollMs: () => this.settings.pollInterval,
        changed: () => this.show(),
        happened: (event) => this.#events.fire(event),
      });
      this.#watch.focus(vscode.window.state.focused);
      this.#watch.start();
    }
    this.show();
  }

  /** Ask the gateway anew. */
  async poll(): Promise<void> {
    await this.#watch?.poll();
  }

  /** Run a command by its name. */
  async run(name: string, args: unknown[]): Promise<unknown> {
    const command = this.commands[name];
    if (!command) throw new Error(`${name} is no command of this extension`);
    try {
      return await command(this, ...args);
    } catch (why) {
      this.failed("", why);
      return undefined;
    }
  }

  /** Ask or change something at the gateway with a sign of its progress; return undefined if that has failed. */
  async act<T>(what: string, send: () => Promise<T>): Promise<T | undefined> {
    const options = { location: vscode.ProgressLocation.Window, title: what };
    try {
      return await vscode.window.withProgress(options, send);
    } catch (why) {
      this.failed(what, why);
      return undefined;
    } finally {
      void this.poll();
    }
  }

  /** Tell the user what has failed, and offer the remedy where there is one. */
  failed(what: string, why: unknown): void {
    const told = why instanceof ApiError ? why.sentence : messageOf(why);
    const text = what ? `${what}: ${told}` : told;
    this.log.error(text);
    const wantsToken = why instanceof ApiError && [401, 403].includes(why.status) && !this.place.socket;
    const isAway = why instanceof ApiError && why.status === 0 && isOwn(this.place);
    const [label, command] = wantsToken
      ? ["Enter Token…", "mcpgateway.enterToken"]
      : isAway
        ? ["Start the Gateway", "mcpgateway.startGateway"]
        : ["Show Log", "mcpgateway.showGatewayLog"];
    void vscode.window.showErrorMessage(text, label).then((chosen) => {
      if (chosen) void vscode.commands.executeCommand(command);
    });
  }

  /** Tell the user what has come of an act. */
  done(text: string): void {
    this.log.info(text);
    vscode.window.setStatusBarMessage(`$(check) ${text}`, 5000);
  }

  /** Show what is known in all views. */
  show(): void {
    const { known, ending } = this;
    this.#note(known);
    const bar = barOf({
      known,
      ending,
      isStarting: this.starter.isStarting,
      isOfProject: this.isOfProject,
      statusBar: this.settings.statusBar,
    });
    this.#showBar(bar);
    this.#showRows(known);
    this.#set("phase", this.starter.isStarting ? "starting" : known.phase);
    this.#set("ending", ending);
    this.#set("isOwn", isOwn(this.place));
    this.#set("isMissing", this.starter.isMissing);
    this.#set("isOff", this.isOfProject === false);
    this.#set("ownGroups", this.settings.groupsView === "own");
    for (const each of this.#parts) each.follow?.(known);
    this.#happened.fire(known);
  }

  #showBar({ text, tooltip, spoken, isWarning, isShown }: Bar): void {
    this.#bar.text = text;
    this.#bar.tooltip = tooltip;
    this.#bar.accessibilityInformation = { label: spoken, role: "button" };
    this.#bar.backgroundColor = isWarning
      ? new vscode.ThemeColor("statusBarItem.warningBackground")
      : undefined;
    if (isShown) this.#bar.show();
    else this.#bar.hide();
  }

  #showRows({ overview, servers, phase }: Known): void {
    const { gateway, servers: list, groups } = this.trees;
    const isKnown = overview && (phase === "here" || phase === "silent");
    gateway.show(isKnown ? gatewayRows(overview, this.#noticeOf(overview.version)) : []);
    const needs = isKnown ? overview.needs.length : 0;
    gateway.view.badge = needs
      ? { value: needs, tooltip: needs === 1 ? "1 thing needs you" : `${needs} things need you` }
      : undefined;
    const hasOwnGroups = this.settings.groupsView === "own";
    list.show(isKnown ? serverRows(servers, !hasOwnGroups) : []);
    const found = hasOwnGroups && isKnown ? groupRows(servers) : { title: "Groups", rows: [] };
    groups.view.title = found.title;
    groups.show(found.rows);
  }

  #noticeOf(version: string): string {
    const { version: own } = this.context.extension.packageJSON as { version: string };
    const notice = otherRelease(version, own);
    if (notice && notice !== this.#notice) this.log.warn(notice);
    this.#notice = notice;
    return notice;
  }

  #note({ phase }: Known): void {
    if (phase === "away") this.#missedAt ||= Date.now();
    else if (phase !== "connecting") {
      this.#missedAt = 0;
      this.#wasHere = true;
      this.starter.failures = 0;
    }
  }

  /** Start the gateway where it is wanted, and its time has come. */
  #recover(): void {
    if (!this.#missedAt || !isOwn(this.place) || this.starter.isStarting) return;
    const { isWanted, ending, starter } = this;
    const { failures, triedAt } = starter;
    const due = startAt({
      isWanted,
      ending,
      wasHere: this.#wasHere,
      missedAt: this.#missedAt,
      triedAt,
      failures,
    });
    if (due === undefined || due > Date.now()) return;
    this.log.info("The gateway is started");
    void starter.start().then((fault) => {
      if (fault) this.log.warn(`The gateway could not be started: ${fault}`);
      void this.poll();
    });
  }

  #set(name: string, value: unknown): void {
    if (this.#contexts.get(name) === value) return;
    this.#contexts.set(name, value);
    void vscode.commands.executeCommand("setContext", `mcpgateway.${name}`, value);
  }

  dispose(): void {
    clearInterval(this.#timer);
    this.#watch?.end();
    for (const each of this.#parts) each.dispose();
  }
}

/** Return the sentence of anything that was thrown. */
export function messageOf(why: unknown): string {
  return why instanceof Error ? why.message : String(why);
}
