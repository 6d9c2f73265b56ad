// What every page of the console does: times in the viewer's zone, live parts, one submit at a time.
import { begin as beginCharts } from "./charts.js";
import { begin as beginCopying } from "./copying.js";
import { begin as beginForms } from "./forms.js";
import { begin as beginLive } from "./live.js";
import { begin as beginTheme } from "./theme.js";
import { begin as beginTimes, localise } from "./times.js";

// A page shows once what was done; its address should not say so again.
if (new URLSearchParams(location.search).has("done")) {
  const address = new URL(location.href);
  address.searchParams.delete("done");
  history.replaceState(null, "", address);
}
// First, while the page is as it was sent.
beginLive((part) => {
  localise(part);
  beginCharts(part);
  dispatchEvent(new CustomEvent("part", { detail: part }));
});
// On a narrow screen the navigation scrolls: the page that is open shall be in sight.
const here = document.querySelector(".pages [aria-current]");
if (here) here.closest("nav").scrollLeft = here.offsetLeft - (here.closest("nav").clientWidth - here.offsetWidth) / 2;
beginTheme(document.getElementById("theme"));
beginTimes();
beginForms();
beginCopying();
beginCharts();
