// A creator's account, kept up to date by the same module that other applications' pages load.
import { createTikTokIntegration } from "/integrations/tiktok.js";
import { askToSignIn } from "./banner.js";
import { localise } from "./times.js";

const LOOK = 5_000; // milliseconds between two looks while a link waits for its creator
const card = document.querySelector("[data-creator]");
const acts = card.querySelector("form[data-acts]");
const link = card.querySelector("[data-link]");
const problem = document.querySelector("[data-problem]");

const tiktok = createTikTokIntegration({ userId: card.dataset.creator, gateway: location.origin, open: show });
let waiting = 0;

function show(address) {
  link.hidden = false;
  link.querySelector("input").value = address;
  link.querySelector("[data-open]").href = address;
  link.querySelector("input").focus();
  wait();
}

function wait() {
  clearInterval(waiting);
  const since = tiktok.getState().connectionStatus?.connectedAt;
  waiting = setInterval(async () => {
    // What was begun last decides, and a look shall not drop the outcome of what somebody does meanwhile.
    if (document.hidden || tiktok.getState().loading) return;
    const { isConnected, connectionStatus } = await tiktok.checkConnectionStatus();
    if (!isConnected || connectionStatus.connectedAt === since) return;
    clearInterval(waiting);
    link.hidden = true;
  }, LOOK);
}

function drawTime(place, moment) {
  if (!moment) { place.textContent = "–"; return; }
  const time = document.createElement("time");
  time.dateTime = moment;
  place.replaceChildren(time);
  localise(place);
}

function drawConnected(isConnected) {
  const state = card.querySelector("[data-connected]");
  const words = isConnected ? "connected" : "not connected";
  if (state.textContent.trim() !== words) {
    const badge = document.createElement("span");
    badge.className = `badge ${isConnected ? "good" : "plain"}`;
    badge.textContent = words;
    state.replaceChildren(badge);
  }
  card.querySelector("[data-known]").hidden = !isConnected;
  for (const part of card.querySelectorAll("[data-when-connected]")) part.hidden = !isConnected;
  const connect = acts?.elements.act[0];
  connect?.classList.toggle("quiet", isConnected);
  if (connect) connect.textContent = isConnected ? "Connect again" : "Connect";
}

function draw({ isConnected, connectionStatus, metrics, loading, error, errorCode }) {
  card.setAttribute("aria-busy", loading);
  problem.hidden = !error;
  problem.textContent = error ?? "";
  if (errorCode === "UNAUTHORIZED") { clearInterval(waiting); askToSignIn(); }
  for (const button of acts?.querySelectorAll("button") ?? []) button.disabled = loading;
  if (!connectionStatus) return;
  drawConnected(isConnected);
  for (const place of card.querySelectorAll("[data-field]")) place.textContent = connectionStatus[place.dataset.field] ?? "–";
  for (const place of card.querySelectorAll("[data-time]")) drawTime(place, connectionStatus[place.dataset.time]);
  card.querySelector("[data-figures]").hidden = !metrics;
  for (const place of card.querySelectorAll("[data-metric]")) place.textContent = metrics?.[place.dataset.metric]?.toLocaleString() ?? "–";
}

const ACTS = { connect: tiktok.connectTikTok, sync: tiktok.refreshConnection, disconnect: tiktok.disconnectTikTok };

tiktok.subscribe(draw);
card.addEventListener("submit", (event) => {
  const wanted = event.submitter?.value || event.target.elements.act?.value;
  event.preventDefault();
  event.target.closest("details")?.removeAttribute("open");
  ACTS[wanted]();
});
if (link && !link.hidden) wait();
tiktok.checkConnectionStatus();
