// Reads server-sent events with fetch: other than EventSource it can post, is told the status, and says what it saw last.

/** An answer that is no stream of events, or one that has ended with a reason. */
export class Refused extends Error {
  constructor(status, { code = "", message = `The answer was ${status}` } = {}) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** Whether signing in again is what helps. */
  get asksToSignIn() {
    return this.status === 401 || this.code === "UNAUTHORIZED";
  }
}

/**
 * Calls back with (name, data, id) of every event until the stream ends; throws Refused, or what fetch throws.
 * Returns whether there was a stream: 204 says that nothing can come after what was seen.
 */
export async function read(address, { heard, seen = "", method = "GET", signal }) {
  const headers = { Accept: "text/event-stream", ...(seen ? { "Last-Event-ID": seen } : {}) };
  const answer = await fetch(address, { method, headers, signal, cache: "no-store" });
  if (answer.status === 204) return false;
  if (!answer.ok) throw new Refused(answer.status, (await answer.json().catch(() => null))?.error);
  for await (const block of blocks(answer.body)) {
    const { event, data, id } = fields(block);
    if (data === undefined) continue;
    const told = JSON.parse(data);
    if (event === "refused") throw new Refused(0, told);
    heard(event, told, id);
  }
  return true;
}

// An event ends with an empty line; what a cut stream leaves of the last one is none.
async function* blocks(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const whole = (rest + part.value).split("\n\n");
    rest = whole.pop();
    yield* whole;
  }
}

function fields(block) {
  const found = {};
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) found[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
  }
  return found;
}
