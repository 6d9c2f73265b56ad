// Writes times in the viewer's zone; the page has them in UTC.
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const short = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const dayOnly = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];

/** Returns how far a moment is from now, in words. */
export function fromNow(moment, now = Date.now()) {
  const seconds = (moment - now) / 1000;
  const [unit, size] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? ["second", 1];
  return relative.format(Math.trunc(seconds / size), unit);
}

/** Writes every time below an element. */
export function localise(root = document) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    // A day is the suite's day wherever it is read.
    if (element.dateTime.length === 10) { element.textContent = dayOnly.format(moment); continue; }
    const text = "relative" in element.dataset ? fromNow(moment) : short.format(moment);
    if (element.textContent !== text) element.textContent = text;
    element.title = full.format(moment);
  }
}

/** Writes the page's times now, and the ones that are told from now every half minute. */
export function begin() {
  const zone = document.getElementById("zone");
  zone.textContent = `Times are in your zone, ${Intl.DateTimeFormat().resolvedOptions().timeZone}.`;
  localise();
  setInterval(() => document.hidden || localise(), 30_000);
}
