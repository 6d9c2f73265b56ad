// Shows each shop as its refresh ends, in the place of a page that answers when all have.
import { askToSignIn } from "./banner.js";
import { read } from "./events.js";

const form = document.querySelector("form[data-refresh]");
const results = document.querySelector("[data-results]");
const part = (name) => results.querySelector(`[data-${name}]`);

function badge(kind, text) {
  const made = document.createElement("span");
  made.className = `badge ${kind}`;
  made.textContent = text;
  return made;
}

function cell(content, number = false) {
  const made = document.createElement("td");
  if (number) made.className = "number";
  made.append(...[content].flat());
  return made;
}

function outcome(shop, looking) {
  if (!shop.success) return [badge("bad", "failed"), ` ${shop.error}`];
  if (shop.skipped) return badge("plain", "not due");
  return badge("good", looking ? "would be refreshed" : "refreshed");
}

function row(shop, looking) {
  const made = document.createElement("tr");
  made.append(
    cell(shop.shopNumber?.toLocaleString() ?? "–", true),
    cell(shop.shopName),
    cell(outcome(shop, looking)),
    cell(shop.hoursLeft.toFixed(1), true),
  );
  return made;
}

function summed({ total, successful, failed }, looking) {
  const count = (value) => value.toLocaleString();
  return `${count(total)} in all, ${count(successful)} ${looking ? "without an obstacle" : "successful"}, ${count(failed)} failed`;
}

function clear(looking) {
  results.hidden = false;
  part("title").textContent = looking ? "What would be done" : "Results";
  part("summary").textContent = "At work";
  part("problem").hidden = true;
  part("none").hidden = true;
  part("bar").hidden = false;
  part("shops").replaceChildren();
}

async function refresh(looking) {
  const fields = new FormData(form);
  const asked = new URLSearchParams({ dry_run: looking, force: fields.get("which") === "all" });
  if (fields.get("team")) asked.set("team_id", fields.get("team"));
  let sum = null;
  let ended = 0;
  await read(`/api/tiktok/refresh-all-tokens?${asked}`, {
    method: "POST",
    heard(name, told) {
      if (name === "summary") { sum = told; return; }
      part("shops").append(row(told, looking));
      ended += 1;
      part("summary").textContent = `${ended.toLocaleString()} ended`;
    },
  });
  if (!sum) throw new Error("The answer was cut off. What was begun goes on: look again what is left.");
  part("summary").textContent = summed(sum, looking);
  part("none").hidden = sum.total > 0;
}

function failed(problem) {
  if (problem.asksToSignIn) askToSignIn();
  part("summary").textContent = "Not ended";
  part("problem").textContent = problem.name === "TypeError" ? "tokhub cannot be reached. Try again." : problem.message;
  part("problem").hidden = false;
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const buttons = [...form.querySelectorAll("button")];
  const looking = event.submitter?.value === "look";
  for (const button of buttons) button.disabled = true;
  clear(looking);
  try {
    await refresh(looking);
  } catch (problem) {
    failed(problem);
  } finally {
    part("bar").hidden = true;
    for (const button of buttons) button.disabled = false;
    event.submitter?.focus();
  }
});
