/** An answer of the gateway that a page shows: loaded when the page opens, and again when something has changed. */

import { ApiError } from "@mcpgateway/core/api";
import { useEffect, useRef, useState } from "preact/hooks";
import { api, changes, isAsleep, missed, returns } from "./gateway";
import { recall, remember } from "./known";
import { signed } from "./session";

export interface Resource<T> {
  /** Undefined until the first answer. */
  value: T | undefined;
  /** Why the latest question was not answered; the frame tells that the gateway is away while its last answer is shown. */
  error: ApiError | undefined;
  reload: () => void;
}

export interface ResourceOptions {
  /** The seconds between two questions while the page is open; 0 to ask only when something has changed. */
  every_s?: number;
  /** False to ask once only. */
  isLive?: boolean;
}

const SOON_MS = 300;

/** Ask a route for as long as a component is shown. */
export function useResource<T>(path: string, options: ResourceOptions = {}): Resource<T> {
  const { every_s = 0, isLive = true } = options;
  const [state, setState] = useState<{ path: string; value: T | undefined; error: ApiError | undefined }>({
    path,
    value: recall<T>(path),
    error: undefined,
  });
  const latest = useRef(0);
  const load = async () => {
    const turn = ++latest.current;
    let found: T | undefined;
    let error: ApiError | undefined;
    try {
      found = await api.get<T>(path);
    } catch (why) {
      error = why instanceof ApiError ? why : new ApiError(0, String(why));
    }
    if (error?.status === 0) missed();
    // An answer to an earlier question may come after one to a later question.
    if (turn !== latest.current) return;
    if (!error) remember(path, found);
    setState((former) => ({
      path,
      value: error ? ((former.path === path ? former.value : undefined) ?? recall<T>(path)) : found,
      error,
    }));
  };
  const changed = isLive ? changes.value : 0;
  const token = signed.value.token;
  const isOff = isAsleep.value;
  useEffect(() => {
    if (isOff) return;
    const first = latest.current === 0 || state.path !== path;
    // A burst of changes is one question.
    const timer = setTimeout(load, first ? 0 : SOON_MS);
    return () => clearTimeout(timer);
  }, [path, changed, token, isOff]);
  useEffect(() => {
    if (state.error && !isOff) void load();
  }, [returns.value]);
  useEffect(() => {
    if (!every_s || isOff) return;
    const timer = setInterval(load, every_s * 1000);
    return () => clearInterval(timer);
  }, [path, every_s, token, isOff]);
  const isSame = state.path === path;
  const value = isSame ? state.value : recall<T>(path);
  return {
    value,
    error: isSame && (state.error?.status || value === undefined) ? state.error : undefined,
    reload: () => void load(),
  };
}
