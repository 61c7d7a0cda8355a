/**
 * The sign-in at the authorization server, in a tab of its own so that this page keeps what is written in it.
 *
 * The other tab passes the answer on to the tab that has begun the sign-in, which alone knows its state: an answer that
 * some other page has caused is nobody's.
 */

import { ApiError } from "@mcpgateway/core/api";
import { useEffect, useState } from "preact/hooks";
import { api } from "../gateway";
import { keep, type Signed, signed } from "../session";

const SESSIONS = "/api/v1/ui/sessions";
const CHANNEL = "mcpgateway-sign-in";

interface SignIn {
  issuer: string;
  url?: string;
  state?: string;
  fault?: string;
}

/** The members of the redirect's query; what became of it comes back under the same state. */
export interface Passed {
  state: string;
  answer?: Record<string, string>;
  isHeard?: boolean;
  outcome?: string;
}

/** Links to the authorization server; where there is none, nothing. */
export function IssuerLinks({ isForBrowser, onSigned }: { isForBrowser: boolean; onSigned: () => void }) {
  const [found, setFound] = useState<SignIn[]>([]);
  const [attempt, setAttempt] = useState(0);
  const [fault, setFault] = useState("");
  useEffect(() => {
    const again = signed.value.token ? "?again=true" : "";
    api.get<{ items: SignIn[] }>(`/api/v1/ui/sign-ins${again}`).then(
      (value) => setFound(value.items),
      () => setFound([]),
    );
  }, [attempt]);
  useEffect(() => {
    const channel = new BroadcastChannel(CHANNEL);
    channel.onmessage = async ({ data }: MessageEvent<Passed>) => {
      if (!data.answer || !found.some((each) => each.state === data.state)) return;
      say({ state: data.state, isHeard: true });
      try {
        const session = await api.send<Signed>("POST", SESSIONS, { answer: data.answer });
        say({ state: data.state, outcome: "" });
        keep(session, isForBrowser);
        onSigned();
      } catch (why) {
        const text = why instanceof ApiError ? why.sentence : String(why);
        say({ state: data.state, outcome: text });
        setFault(text);
        setAttempt((former) => former + 1);
      }
    };
    return () => channel.close();
  }, [found, isForBrowser, onSigned]);
  return (
    <>
      {found.map((each) =>
        each.url ? (
          <p key={each.issuer}>
            <a class="button" href={each.url} target="_blank" rel="noopener noreferrer">
              Sign in at {host(each.issuer)}
            </a>
          </p>
        ) : (
          <p key={each.issuer} class="refused">
            No sign-in at {host(each.issuer)} now: {each.fault}
          </p>
        ),
      )}
      <p role="alert" class={fault ? "refused" : "unseen"}>
        {fault}
      </p>
    </>
  );
}

function host(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}

function say(passed: Passed): void {
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage(passed);
  channel.close();
}

/** Pass the answer in this page's address on, and return what became of it. */
export function passOn(query: string): Promise<string> {
  const answer = Object.fromEntries(new URLSearchParams(query));
  const state = answer.state ?? "";
  const channel = new BroadcastChannel(CHANNEL);
  return new Promise<string>((resolve) => {
    const unheard = setTimeout(
      () => resolve("No open page of this browser has begun this sign-in: begin it anew"),
      UNHEARD_MS,
    );
    channel.onmessage = ({ data }: MessageEvent<Passed>) => {
      if (data.state !== state) return;
      if (data.isHeard) clearTimeout(unheard);
      if (data.outcome !== undefined) resolve(data.outcome);
    };
    say({ state, answer });
  }).finally(() => channel.close());
}

const UNHEARD_MS = 2000;
