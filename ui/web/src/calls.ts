/** The calls of servers as they end: the latest ones, then new ones by a stream, and earlier ones on demand. */

import { ApiError } from "@mcpgateway/core/api";
import { type Call, placeOf, withNew } from "@mcpgateway/core/calls";
import { follow } from "@mcpgateway/core/stream";
import { useEffect, useState } from "preact/hooks";
import { api, isAsleep } from "./gateway";
import { recall, remember } from "./known";
import { signed } from "./session";

/** The calls that a page keeps. */
export const KEPT = 10_000;
const PAGE = 1000;

export interface LiveCalls {
  /** The latest first. */
  calls: readonly Call[];
  /** Whether the stream is open. */
  isOpen: boolean;
  /** Whether the stream was open before: there is nothing else to come. */
  isFilled: boolean;
  error: ApiError | undefined;
  /** Load what was before the earliest of them; undefined where nothing is known to be. */
  loadEarlier: (() => Promise<void>) | undefined;
}

/** Follow the calls that a query chooses for as long as a component is shown. */
export function useCalls(choice: string): LiveCalls {
  const [calls, setCalls] = useState<readonly Call[]>([]);
  const [isOpen, setOpen] = useState(false);
  const [isFilled, setFilled] = useState(false);
  const [error, setError] = useState<ApiError>();
  const [isEnd, setEnd] = useState(false);
  const token = signed.value.token;
  const isOff = isAsleep.value;
  useEffect(() => {
    if (isOff) return;
    const ending = new AbortController();
    const question = `calls of ${choice}`;
    const waiting: Call[] = [];
    let frame = 0;
    // Many calls may end at once: they are drawn together.
    const draw = () => {
      frame = 0;
      const come = waiting.splice(0);
      setCalls((former) => {
        const all = withNew(former, come, KEPT);
        remember(question, all);
        return all;
      });
    };
    setCalls(recall<readonly Call[]>(question) ?? []);
    setError(undefined);
    setFilled(false);
    setEnd(false);
    let filling: ReturnType<typeof setTimeout> | undefined;
    void follow(
      async (lastId, signal) => {
        try {
          const reply = await api.stream(`${route(choice)}&follow=true`)(lastId, signal);
          setError(undefined);
          return reply;
        } catch (why) {
          if (why instanceof ApiError && why.status) setError(why);
          throw why;
        }
      },
      {
        signal: ending.signal,
        onOpen: (isNow) => {
          setOpen(isNow);
          // An empty log sends nothing: what is known comes at once, or not at all.
          if (isNow) filling = setTimeout(() => setFilled(true), 100);
        },
        onEvent: ({ data }) => {
          try {
            waiting.push(JSON.parse(data) as Call);
          } catch {
            return; // a record of another shape says nothing to this page
          }
          frame ||= requestAnimationFrame(draw);
        },
      },
    );
    return () => {
      ending.abort();
      clearTimeout(filling);
      cancelAnimationFrame(frame);
    };
  }, [choice, token, isOff]);
  const last = calls[calls.length - 1];
  const loadEarlier = async () => {
    if (!last) return;
    try {
      const before = encodeURIComponent(placeOf(last));
      const { records } = await api.get<{ records: Call[] }>(`${route(choice)}&before=${before}`);
      setEnd(records.length < PAGE);
      setCalls((former) => [...former, ...records.reverse()].slice(0, KEPT));
    } catch (why) {
      setError(why instanceof ApiError ? why : new ApiError(0, String(why)));
    }
  };
  const hasEarlier = !isEnd && calls.length >= PAGE && calls.length < KEPT;
  return { calls, isOpen, isFilled, error, loadEarlier: hasEarlier ? loadEarlier : undefined };
}

function route(choice: string): string {
  return `/api/v1/activity?kind=call&limit=${PAGE}&${choice}`;
}
