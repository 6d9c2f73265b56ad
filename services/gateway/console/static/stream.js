// Follows a run by server-sent events, across restarts of the gateway, while the page is seen, until the session ends.
import { askToSignIn, hush, say } from "./banner.js";
import { read } from "./events.js";
import { ENDED } from "./progress.js";

const LONGEST = 30; // seconds between two attempts

/** Calls back with every progress of a run until it has ended; returns what stops that. */
export function follow(runId, heard) {
  let seen = "";
  let failures = 0;
  let timer = 0;
  let reading = null;
  let ended = false;

  // Browsers hold six connections to a host, for all tabs together: who is not looked at lets go of theirs.
  const look = () => (document.hidden ? pause() : !reading && open());

  function pause() {
    clearTimeout(timer);
    reading?.abort();
    reading = null;
  }

  function stop() {
    ended = true;
    document.removeEventListener("visibilitychange", look);
    pause();
  }

  function hear(_name, progress, id) {
    if (failures) hush();
    failures = 0;
    seen = id;
    heard(progress);
  }

  async function open() {
    const mine = new AbortController();
    reading = mine;
    let last = null;
    try {
      const streamed = await read(`/admin/sync/runs/${runId}/events`, {
        seen,
        signal: mine.signal,
        heard: (...told) => { hear(...told); last = told[1]; },
      });
      // What ended without a word on how the run came out was cut off.
      if (!streamed || ENDED.has(last?.state)) { stop(); return; }
    } catch (problem) {
      if (mine.signal.aborted) return;
      if (problem.asksToSignIn) { stop(); askToSignIn(); return; }
      if (problem.status === 404) { stop(); return; }
    }
    if (reading === mine && !ended) again();
  }

  function again() {
    reading = null;
    failures += 1;
    if (failures > 2) say("tokhub cannot be reached. The run goes on, and this page with it as soon as it can.");
    timer = setTimeout(look, Math.min(LONGEST, 2 ** (failures - 1)) * 1000);
  }

  document.addEventListener("visibilitychange", look);
  look();
  return stop;
}
