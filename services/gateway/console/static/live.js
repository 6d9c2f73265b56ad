// Keeps parts of a page up to date: elements with an id and data-live="seconds" are asked for again while they are seen.
import { askToSignIn, hush, say } from "./banner.js";

const LONGEST = 60; // seconds between two attempts while nobody answers
const policy = globalThis.trustedTypes?.createPolicy("console", { createHTML: (page) => page }) ?? { createHTML: (page) => page };

let failures = 0;
let timer = 0;
let refreshed = () => {};
const received = new Map(); // what the server sent of each part: one that stayed the same is left alone
const taken = new Map(); // when each part was last looked at: one may change often, another seldom

function parts() {
  return [...document.querySelectorAll("[data-live][id]")];
}

function wait() {
  const seconds = Math.min(...parts().map((part) => Number(part.dataset.live)));
  return failures ? Math.min(LONGEST, 2 ** failures) : seconds;
}

function due(part) {
  return performance.now() - (taken.get(part.id) ?? 0) > (Number(part.dataset.live) - 1) * 1000;
}

// What somebody is busy with stays: what they have opened, write in, or reach by the keyboard.
function busy(part) {
  return part.querySelector("details[open], :focus-visible");
}

function put(page, wanted) {
  for (const part of wanted) {
    if (!part.isConnected) continue;
    taken.set(part.id, performance.now());
    const fresh = page.getElementById(part.id);
    if (!fresh || busy(part) || received.get(part.id) === fresh.outerHTML) continue;
    received.set(part.id, fresh.outerHTML);
    part.replaceWith(document.adoptNode(fresh));
    refreshed(fresh);
  }
}

async function ask(wanted) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
  if (answer.status === 401) { askToSignIn(); return false; }
  if (answer.status === 429) {
    failures += 1;
    say("Too many requests come from your address. The page goes on in a moment.");
    return true;
  }
  if (!answer.ok) throw new Error(String(answer.status));
  put(new DOMParser().parseFromString(policy.createHTML(await answer.text()), "text/html"), wanted);
  if (failures) hush();
  failures = 0;
  return true;
}

async function tick(wanted) {
  timer = 0;
  let goOn = true;
  try {
    goOn = await ask(wanted);
  } catch {
    failures += 1;
    // A gateway that restarts is back within seconds: nobody need hear of it.
    if (failures > 2) say("tokhub cannot be reached. What you see may be old; this page goes on by itself.");
  }
  if (goOn) plan();
}

function plan() {
  clearTimeout(timer);
  timer = !document.hidden && parts().length ? setTimeout(() => tick(parts().filter(due)), wait() * 1000) : 0;
}

/** Asks for the page again now. */
export function refresh() {
  clearTimeout(timer);
  return tick(parts());
}

/** Keeps the page, which nothing has changed yet, up to date while it is seen; calls back with each part replaced. */
export function begin(callback) {
  refreshed = callback;
  for (const part of parts()) {
    received.set(part.id, part.outerHTML);
    taken.set(part.id, performance.now());
  }
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : parts().length && refresh()));
  plan();
}
