// The errors of a request, in words for an operator.

export class ApiError extends Error {
  /**
   * @param {"away" | "token" | "refused" | "busy" | "broken"} kind What to do about it.
   * @param {string} message In words.
   */
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

const DETAIL_LENGTH_MAX = 1_000;

/** Return the error that an answer stands for. */
export async function errorOf(answer) {
  const detail = await detailOf(answer);
  if (answer.status === 401 || answer.status === 403) return new ApiError("token", detail);
  if (answer.status === 503) {
    return new ApiError("busy", `The server cannot answer this now: ${detail}`);
  }
  if (answer.status >= 500) return new ApiError("broken", `The server failed: ${detail}`);
  return new ApiError("refused", detail);
}

async function detailOf(answer) {
  const text = await answer.text();
  try {
    const { detail } = JSON.parse(text);
    const words = typeof detail === "string" ? detail : JSON.stringify(detail);
    if (words) return words.slice(0, DETAIL_LENGTH_MAX);
  } catch {
    // A proxy's page is no JSON; its status is what can be said.
  }
  return `status ${answer.status} ${answer.statusText}`.trim();
}
