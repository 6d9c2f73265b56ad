// Follows a run by server-sent events, across restarts of the gateway and the end of the session.
import { askToSignIn, hush, say } from "./banner.js";

const LONGEST = 30; // seconds between two attempts
const ENDED = new Set(["SUCCEEDED", "PARTIAL", "FAILED", "CANCELLED"]);

/** Calls back with every progress of a run until it has ended; returns what stops that. */
export function follow(runId, heard) {
  let source = null;
  let failures = 0;
  let timer = 0;
  let stopped = false;

  const stop = () => { stopped = true; clearTimeout(timer); source?.close(); };

  async function again() {
    source?.close();
    if (stopped) return;
    const session = await fetch("/console/session").catch(() => null);
    if (session?.status === 401) { stop(); askToSignIn(); return; }
    failures += 1;
    if (failures > 2) say("tokhub cannot be reached. The run goes on, and this page with it as soon as it can.");
    timer = setTimeout(open, Math.min(LONGEST, 2 ** failures) * 1000);
  }

  function open() {
    source = new EventSource(`/admin/sync/runs/${runId}/events`);
    source.addEventListener("progress", (event) => {
      if (failures) hush();
      failures = 0;
      const progress = JSON.parse(event.data);
      heard(progress);
      if (ENDED.has(progress.state)) stop();
    });
    // A browser tries again by itself while it says CONNECTING; after an error status it does not.
    source.addEventListener("error", () => source.readyState === EventSource.CLOSED && again());
  }

  open();
  return stop;
}
