// Whether the server answers: since when it does not, and asking until it does.

const RETRY_MILLISECONDS = 2_000;

const listeners = new Set();
let awaySince = null;

/** Call a function with the moment since which the server is away, or with null when it is back. */
export function onConnectionChange(listener) {
  listeners.add(listener);
}

function tell() {
  for (const listener of listeners) listener(awaySince);
}

export function noteAnswer() {
  if (awaySince === null) return;
  awaySince = null;
  tell();
}

export function noteSilence() {
  if (awaySince !== null) return;
  awaySince = new Date();
  tell();
  askAgain();
}

async function askAgain() {
  while (awaySince !== null) {
    await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));
    try {
      // A proxy before a server that is away answers 502 to 504.
      const answer = await fetch(new URL("../healthz", document.baseURI), { cache: "no-store" });
      if (answer.ok) noteAnswer();
    } catch {
      // It is still away.
    }
  }
}
