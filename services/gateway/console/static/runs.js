// Draws the runs of a page as they go: elements with data-run, and the list of failures of that run.
import { ENDED, UNKNOWN, line, next } from "./progress.js";
import { refresh } from "./live.js";
import { follow } from "./stream.js";

const MOST = 3; // streams of a page; what comes after these is as new as the page's live parts
const KINDS = { SUCCEEDED: "good", PARTIAL: "warn", FAILED: "bad", RUNNING: "busy", QUEUED: "busy" };
const LABELS = { all: "Everything", user: "Accounts", video: "Videos", refresh_tokens: "Tokens" };

const followed = new Map();

function places(runId) {
  return document.querySelectorAll(`[data-run="${CSS.escape(runId)}"]`);
}

function written(state) {
  return state.toLowerCase().replaceAll("_", " ");
}

function draw(runId) {
  const { known } = followed.get(runId);
  if (!known.progress) return;
  for (const place of places(runId)) drawOn(place, known);
  for (const list of document.querySelectorAll(`[data-failures="${CSS.escape(runId)}"]`)) drawFailures(list, known);
}

function drawOn(place, known) {
  const { progress } = known;
  const badge = document.createElement("span");
  badge.className = `badge ${KINDS[progress.state] ?? "plain"}`;
  badge.textContent = written(progress.state);
  const state = place.querySelector("[data-state]");
  // Said aloud when it changes, and only then.
  if (state.textContent.trim() !== badge.textContent) state.replaceChildren(badge);
  const bar = place.querySelector("[data-bar]");
  bar.max = progress.total || 1;
  bar.value = progress.processed;
  place.querySelector("[data-line]").textContent = line(known);
  place.querySelector("[data-jobs]").replaceChildren(...progress.jobs.map(jobRow));
}

function jobRow({ job, total, processed, failed }) {
  const row = document.createElement("li");
  const name = document.createElement("span");
  const bar = document.createElement("progress");
  const counts = document.createElement("span");
  name.textContent = LABELS[job] ?? written(job);
  bar.max = total || 1;
  bar.value = processed;
  bar.setAttribute("aria-label", name.textContent);
  counts.className = "number";
  counts.textContent = `${processed.toLocaleString()} of ${total.toLocaleString()}${failed ? `, ${failed.toLocaleString()} failed` : ""}`;
  row.append(name, " ", bar, " ", counts);
  return row;
}

// The page's own list is as old as the page: the first progress brings all failures again.
function drawFailures(list, known) {
  if (list.dataset.drawn === undefined) list.replaceChildren();
  const fresh = known.failures.slice(Number(list.dataset.drawn ?? 0));
  list.append(...fresh.map(failureRow));
  list.dataset.drawn = known.failures.length;
  list.closest("section").querySelector("[data-no-failures]").hidden = known.failures.length > 0;
}

function failureRow({ who, why }) {
  const row = document.createElement("li");
  const name = document.createElement("b");
  name.textContent = who;
  row.append(name, ` ${why}`);
  return row;
}

function hear(runId, progress) {
  const run = followed.get(runId);
  run.known = next(run.known, progress);
  draw(runId);
  if (!ENDED.has(progress.state)) return;
  for (const part of document.querySelectorAll(`[data-while-active="${CSS.escape(runId)}"]`)) part.hidden = true;
  refresh();
}

function begin(runId) {
  followed.set(runId, { known: UNKNOWN, stop: () => {} });
  followed.get(runId).stop = follow(runId, (progress) => hear(runId, progress));
}

// Live parts of the page bring runs and take them away.
function bind() {
  for (const [runId, run] of followed) {
    if (places(runId).length) continue;
    run.stop();
    followed.delete(runId);
  }
  for (const place of document.querySelectorAll("[data-run]")) {
    const { run, active } = place.dataset;
    if (followed.has(run)) draw(run);
    else if (followed.size < MOST && active !== undefined) begin(run);
  }
}

addEventListener("part", bind);
bind();
