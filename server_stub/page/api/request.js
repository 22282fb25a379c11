// One request to the server: its token, how many run at once, and its errors in words.

import { noteAnswer, noteSilence } from "./connection.js";
import { ApiError, errorOf } from "./errors.js";
import { noteRefusal, readToken } from "./token.js";

// The server gives queries half of its connections, which is four by default.
const REQUESTS_MAX = 4;
const BUSY_REPEATS_MAX = 2;
// The server answers a query within half a minute; a network that swallows packets never does.
const ANSWER_MILLISECONDS_MAX = 60_000;

let running = 0;
const waiting = [];

async function place() {
  if (running >= REQUESTS_MAX) await new Promise((resolve) => waiting.push(resolve));
  else running += 1;
}

function leave() {
  const next = waiting.shift();
  if (next) next();
  else running -= 1;
}

/** Return the URL of a path of the API, which lies beside the page, whatever prefix a proxy adds. */
export function apiUrl(path, parameters = {}) {
  const url = new URL(`../${path}`, document.baseURI);
  url.hash = "";
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

/**
 * Return what the server answers: its JSON, unless `read` takes something else from the answer.
 *
 * @throws {ApiError} The server is away, or refuses the request.
 * @throws {DOMException} The signal has aborted the request.
 */
export async function request(path, parameters = {}, { method = "GET", signal, read = readJson } = {}) {
  for (let repeats = 0; ; repeats += 1) {
    await place();
    const token = readToken();
    let answer;
    try {
      signal?.throwIfAborted();
      answer = await ask(apiUrl(path, parameters), method, token, signal);
      if (answer.ok) return await read(answer);
    } catch (error) {
      throw asAway(error, signal);
    } finally {
      leave();
    }
    const error = await errorOf(answer);
    // A token that was given meanwhile is not refused by it.
    if (error.kind === "token" && method === "GET" && token === readToken()) noteRefusal(error);
    if (error.kind !== "busy" || method !== "GET" || repeats >= BUSY_REPEATS_MAX) throw error;
    const seconds = Number(answer.headers.get("Retry-After") ?? 1);
    await new Promise((resolve) => setTimeout(resolve, 1_000 * Math.min(seconds || 1, 5)));
  }
}

function readJson(answer) {
  return answer.json();
}

async function ask(url, method, token, signal) {
  const headers = token === "" ? {} : { Authorization: `Bearer ${token}` };
  const signals = signal ? [signal] : [];
  // A deletion takes as long as its rows need.
  if (method === "GET") signals.push(AbortSignal.timeout(ANSWER_MILLISECONDS_MAX));
  const answer = await fetch(url, {
    method,
    headers,
    signal: AbortSignal.any(signals),
    cache: "no-store",
  });
  if (answer.status === 502 || answer.status === 504)
    throw new TypeError("a proxy found no server");
  noteAnswer();
  return answer;
}

function asAway(error, signal) {
  if (signal?.aborted || error instanceof ApiError) return error;
  noteSilence();
  return new ApiError("away", "The server does not answer.");
}
