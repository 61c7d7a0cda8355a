/** Requests to the gateway by Node's own HTTP client, which reaches Unix sockets too. */

import { type IncomingMessage, request as plainly, type RequestOptions } from "node:http";
import { request as securely } from "node:https";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import type { Place } from "./place";

/** How the latest request ended that got no answer: nobody listens there, or nothing comes from there. */
export type Failure = "" | "away" | "silent";

/** The way to one gateway. */
export interface Transport {
  fetch: typeof fetch;
  failure: () => Failure;
}

const NOBODY = new Set(["ENOENT", "ECONNREFUSED", "ENOTFOUND", "EHOSTUNREACH", "ENETUNREACH", "EAI_AGAIN"]);
const EMPTY = new Set([204, 205, 304]);

/** Return the way to the gateway at a place. */
export function transportTo(place: Place): Transport {
  let failure: Failure = "";
  const send = async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    try {
      const reply = await answered(new URL(String(input)), place.socket, init);
      failure = "";
      return reply;
    } catch (why) {
      const { code = "" } = why as NodeJS.ErrnoException;
      failure = NOBODY.has(code) ? "away" : "silent";
      throw why;
    }
  };
  return { fetch: send as typeof fetch, failure: () => failure };
}

function answered(url: URL, socketPath: string, init: RequestInit): Promise<Response> {
  const { method = "GET", headers, body, signal } = init;
  const options: RequestOptions = { method, headers: headers as Record<string, string>, agent: false };
  if (signal) options.signal = signal;
  if (socketPath) options.socketPath = socketPath;
  return new Promise((resolve, reject) => {
    const send = url.protocol === "https:" ? securely : plainly;
    const sent = send(url, options, (message) => {
      // A redirect would carry the token elsewhere.
      if ((message.statusCode ?? 0) >= 300 && (message.statusCode ?? 0) < 400 && message.statusCode !== 304) {
        message.destroy();
        reject(new Error(`${url.origin} answers with a redirect`));
      } else resolve(responseOf(message));
    });
    sent.on("error", reject);
    sent.end(body ?? undefined);
  });
}

function responseOf(message: IncomingMessage): Response {
  const status = message.statusCode ?? 502;
  const headers = new Headers();
  for (let at = 0; at < message.rawHeaders.length; at += 2)
    headers.append(message.rawHeaders[at] ?? "", message.rawHeaders[at + 1] ?? "");
  if (EMPTY.has(status)) {
    message.resume();
    return new Response(null, { status, headers });
  }
  const body = Readable.toWeb(message) as ReadableStream<Uint8Array>;
  return new Response(body as unknown as BodyInit, { status, headers });
}
