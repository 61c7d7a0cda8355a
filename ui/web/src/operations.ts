/** What can be done to a server and to the gateway, by a button of a page and by the palette. */

import type { ClusterNode, Server, ToolRow } from "@mcpgateway/core/model";
import { outcome, serverPath } from "@mcpgateway/core/operations";
import { counted } from "@mcpgateway/core/words";
import { type Act, act } from "./act";
import { confirmed, type Question } from "./parts/dialog";

/** An act with its name, and the question before it if it cannot be undone. */
export interface Operation {
  label: string;
  act: Act;
  question?: Question;
}

const WAIT = "?wait=30s";
const LIMIT_MS = 45_000;

/** Do it after its question; return whether it was done. */
export async function perform(operation: Operation): Promise<boolean> {
  const { act: wanted, question, label } = operation;
  if (question && !(await confirmed(question))) return false;
  return (await act({ what: label, ...wanted })) !== undefined;
}

/** Start a server, or start it anew, and tell what came of it. */
export function starting(name: string, word: "Start" | "Restart"): Operation {
  return {
    label: `${word} ${name}`,
    act: {
      method: "POST",
      path: serverPath(name, "restart") + WAIT,
      done: (answer) => outcome((answer as { server: Server }).server),
      limit_ms: LIMIT_MS,
    },
  };
}

export function stopping(name: string): Operation {
  return {
    label: `Stop ${name}`,
    act: {
      method: "POST",
      path: serverPath(name, "stop"),
      done: `${name} is stopped; its next request starts it again`,
    },
  };
}

/** Switch a server off, or on if it is off. */
export function switching({ name, enabled: isEnabled }: Pick<Server, "name" | "enabled">): Operation {
  return {
    label: `Switch ${isEnabled ? "off" : "on"} ${name}`,
    act: {
      method: "PATCH",
      path: serverPath(name),
      body: { enabled: !isEnabled },
      done: `${name} is ${isEnabled ? "off" : "on"}`,
    },
  };
}

/** Let a server that has failed be started again, also one that the gateway would not start by itself any more. */
export function resetting(name: string): Operation {
  return {
    label: `Try now: ${name}`,
    act: { method: "POST", path: serverPath(name, "reset-circuit"), done: `${name} is tried` },
  };
}

/** Try a server that has failed. */
export async function tryAgain(name: string): Promise<void> {
  if (await perform(resetting(name))) await perform(starting(name, "Start"));
}

interface Login {
  state: string;
  url?: string;
}

/** Begin the sign-in at a server. */
export function signingIn(name: string): Operation {
  return {
    label: `Sign in at ${name}`,
    act: {
      method: "POST",
      path: serverPath(name, "login"),
      body: {},
      done: (answer) => {
        const { url, state } = answer as Login;
        return url ? `The sign-in of ${name} is open in another tab` : `${name}: ${state}`;
      },
      limit_ms: LIMIT_MS,
    },
  };
}

/** Open the page at which the user signs in at a server; return its address, empty where there is none. */
export async function signIn(name: string): Promise<string> {
  const found = await act<Login>(signingIn(name).act);
  if (!found?.url || !/^https?:/.test(found.url)) return "";
  open(found.url, "_blank", "noopener,noreferrer");
  return found.url;
}

export function restartingGateway(sessions: number): Operation {
  return {
    label: "Restart the gateway",
    act: { method: "POST", path: "/api/v1/restart", done: "The gateway restarts", rights: "admin" },
    question: {
      title: "Restart the gateway?",
      effect: `Servers are stopped, and start again with their next request. ${ofClients(sessions)} stay; requests wait until the gateway answers again.`,
      yes: "Restart",
    },
  };
}

export function shuttingDown(sessions: number): Operation {
  return {
    label: "Shut down the gateway",
    act: { method: "POST", path: "/api/v1/shutdown", done: "The gateway ends", rights: "admin" },
    question: {
      title: "Shut down the gateway?",
      effect: `Calls under way may finish, ${ofClients(sessions)} end, and enrolled clients get their own servers back. This page has no gateway then: mcpgateway start begins it again.`,
      yes: "Shut down",
    },
  };
}

function ofClients(sessions: number): string {
  return `${counted(sessions, "session")} of clients`;
}

/** Offer tools, and do not offer others, as they were before. */
export async function offerAgain(former: readonly Pick<ToolRow, "name" | "offered">[]): Promise<void> {
  for (const offered of [true, false]) {
    const tools = former.filter((each) => each.offered === offered).map((each) => each.name);
    const body = { tools, offered };
    const done = "The tools are offered as before";
    if (tools.length && !(await act({ method: "PATCH", path: "/api/v1/tools", body, done }))) return;
  }
}

/** Drain a node of the cluster, or take that back. */
export function draining({ name, state }: ClusterNode, others: number): Operation {
  const isUndone = state === "draining";
  const act = (undo: boolean): Act => ({
    method: "POST",
    path: "/api/v1/cluster/drain",
    body: { node: name, undo },
    done: undo ? `${name} takes clients again` : `${name} is drained`,
    rights: "admin",
  });
  if (isUndone) return { label: `Let ${name} take clients again`, act: act(true) };
  const effect = others
    ? "Balancers send it no clients from now on, and its sessions go to other nodes as soon as they are idle. Calls under way may finish."
    : "No other node takes clients, so its sessions stay; balancers send it no clients from now on.";
  return {
    label: `Drain ${name}`,
    act: act(false),
    question: { title: `Drain ${name}?`, effect, yes: "Drain" },
  };
}

/** Disable the gateway, or enable it if it is disabled. */
export function switchingGateway(isDisabled: boolean): Operation {
  if (isDisabled)
    return {
      label: "Enable the gateway",
      act: { method: "POST", path: "/api/gateway/enable", done: "The gateway is enabled" },
    };
  return {
    label: "Disable the gateway",
    act: { method: "POST", path: "/api/gateway/disable", done: "The gateway is disabled" },
    question: {
      title: "Disable the gateway?",
      effect:
        "Clients' files are restored, and requests to servers are refused until the gateway is enabled again.",
      yes: "Disable",
    },
  };
}
