// One line at the foot of the page for what keeps it from being up to date.
const banner = document.getElementById("banner");
const [text, link] = banner.children;

/** Says something until hush. */
export function say(message) {
  if (text.textContent !== message) text.textContent = message;
  link.hidden = true;
  banner.hidden = false;
}

/** Says that the session has ended, with a way to sign in and come back here. */
export function askToSignIn() {
  say("Your session has ended. What you see is as it was then.");
  link.href = location.pathname + location.search;
  link.hidden = false;
}

/** Says nothing any more. */
export function hush() {
  banner.hidden = true;
}
