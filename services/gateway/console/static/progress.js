// A run as it is known from its progress: what has ended, how fast, what is left, and who failed.

/** States that a run never leaves. */
export const ENDED = new Set(["SUCCEEDED", "PARTIAL", "FAILED", "CANCELLED"]);

const WINDOW = 15_000; // milliseconds over which the rate is taken
const MOST_FAILURES = 500; // as many as are kept to be shown

/** What is known before the first progress. */
export const UNKNOWN = Object.freeze({ progress: null, failures: [], rate: null, samples: [], ended: new Set() });

/** Returns what is known after a progress message; stores that were told before are told once. */
export function next(known, progress, now = Date.now()) {
  if (known.progress && progress.sequence < known.progress.sequence) return known;
  const fresh = progress.endedStores.filter((store) => !known.ended.has(keyOf(store)));
  const failed = fresh.filter((store) => store.outcome === "FAILED").map((store) => ({ who: who(store), why: why(store) }));
  const samples = [...known.samples, { at: now, processed: progress.processed }].filter(({ at }) => now - at <= WINDOW);
  return {
    progress,
    samples,
    rate: rateOf(samples),
    failures: failed.length ? [...known.failures, ...failed].slice(-MOST_FAILURES) : known.failures,
    ended: fresh.length ? new Set([...known.ended, ...fresh.map(keyOf)]) : known.ended,
  };
}

/** Returns one line for people about how far a run is. */
export function line({ progress, rate }) {
  const counted = `${progress.processed.toLocaleString()} of ${progress.total.toLocaleString()} ended`;
  const parts = [counted, ...(progress.failed ? [`${progress.failed.toLocaleString()} failed`] : []), ...(progress.skipped ? [`${progress.skipped.toLocaleString()} skipped`] : [])];
  if (progress.videos) parts.push(`${progress.videos.toLocaleString()} videos`);
  if (ENDED.has(progress.state)) return parts.join(" · ");
  if (rate !== null) parts.push(`${rate < 10 ? rate.toFixed(1) : Math.round(rate)} a second`);
  if (progress.eta !== null) parts.push(`${lasting(progress.eta)} left`);
  return parts.join(" · ");
}

function keyOf(store) {
  return `${store.sequence} ${who(store)}`;
}

function who(store) {
  return store.storeCode ?? store.userId;
}

function why({ reason, message }) {
  if (!reason || message.startsWith(reason)) return message;
  return message ? `${reason}: ${message}` : reason;
}

function rateOf(samples) {
  const [first, last] = [samples[0], samples.at(-1)];
  return last.at - first.at >= 1000 ? (last.processed - first.processed) / ((last.at - first.at) / 1000) : null;
}

function lasting(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}
