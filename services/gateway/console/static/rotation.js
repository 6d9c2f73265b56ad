// Shows how a rotation goes, in the place of a page that answers when it has ended.
import { askToSignIn } from "./banner.js";
import { read } from "./events.js";
import { refresh } from "./live.js";

const STAGES = { REWRITING: "sealing", SETTLING: "waiting for refreshes that began before", DONE: "done" };
const form = document.querySelector("form[data-rotate]");
const card = document.querySelector("[data-rotation]");
const part = (name) => card.querySelector(`[data-${name}]`);

function draw({ stage, total, rewritten, unreadable, rowsPerSecond }) {
  const bar = part("bar");
  bar.hidden = false;
  bar.max = total || 1;
  bar.value = rewritten;
  if (part("stage").textContent !== STAGES[stage]) part("stage").textContent = STAGES[stage];
  const speed = stage === "REWRITING" && rowsPerSecond ? ` · ${Math.round(rowsPerSecond).toLocaleString()} a second` : "";
  const closed = unreadable ? ` · ${unreadable.toLocaleString()} do not open` : "";
  part("line").textContent = `${rewritten.toLocaleString()} of ${total.toLocaleString()} sealed anew${speed}${closed}`;
}

async function rotate() {
  let sum = null;
  await read("/admin/vault/rotate", {
    method: "POST",
    heard(name, told) {
      if (name === "summary") sum = told;
      else draw(told);
    },
  });
  if (!sum) throw new Error("The answer was cut off, and the rotation stopped with it. Start it again: it goes on from there.");
  draw({ ...sum, stage: "DONE" });
  form.hidden = true;
  part("explained").hidden = true;
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  part("problem").hidden = true;
  try {
    await rotate();
  } catch (problem) {
    if (problem.asksToSignIn) askToSignIn();
    part("problem").textContent = problem.name === "TypeError" ? "tokhub cannot be reached, and the rotation has stopped. Start it again: it goes on from there." : problem.message;
    part("problem").hidden = false;
    part("stage").textContent = "stopped";
  } finally {
    button.disabled = false;
    refresh();
  }
});
