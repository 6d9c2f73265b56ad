// Draws <figure data-chart="line|bars"> from the table inside it; the library is loaded when the first one is seen.
// The table stays for those who read it: a row a point, the first column the time, each further column a series.

let library = null;
let shown = [];

async function charts() {
  library ??= import("./lightweight-charts.js").then(() => globalThis.LightweightCharts);
  return library;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function look() {
  return {
    layout: { background: { color: "transparent" }, textColor: colour("--soft"), fontFamily: getComputedStyle(document.body).fontFamily, attributionLogo: false },
    grid: { vertLines: { visible: false }, horzLines: { color: colour("--line") } },
    rightPriceScale: { borderVisible: false, entireTextOnly: true, scaleMargins: { top: 0.15, bottom: 0.05 } },
    timeScale: { borderVisible: false, timeVisible: true },
  };
}

// The library writes UTC: it is told the seconds at which a UTC clock shows what the viewer's clock does.
function onTheWall(moment) {
  return moment.getTime() / 1000 - moment.getTimezoneOffset() * 60;
}

// A cell without a value is a gap, not a zero.
function point(row, column) {
  const [when, ...cells] = [...row.querySelectorAll("time, data")];
  const at = when.dateTime.length === 10 ? when.dateTime : onTheWall(new Date(when.dateTime));
  const cell = cells[column];
  return cell?.value ? { time: at, value: Number(cell.value) } : { time: at };
}

async function draw(figure) {
  const table = figure.querySelector("table");
  const rows = [...table.tBodies[0].rows];
  const { createChart, HistogramSeries, AreaSeries } = await charts();
  const place = document.createElement("div");
  place.className = "chart";
  place.setAttribute("aria-hidden", "true");
  figure.querySelector(".place").replaceChildren(place);
  const whole = { type: "custom", minMove: 1, formatter: (value) => Math.round(value).toLocaleString() };
  const chart = createChart(place, { ...look(), autoSize: true, handleScroll: false, handleScale: false });
  const bars = figure.dataset.chart === "bars";
  const drawn = chart.addSeries(bars ? HistogramSeries : AreaSeries, { priceFormat: whole, lineWidth: 2, priceLineVisible: false, lastValueVisible: !bars });
  drawn.setData(rows.map((row) => point(row, 0)));
  chart.timeScale().fitContent();
  chart.timeScale().subscribeSizeChange(() => chart.timeScale().fitContent());
  const paint = () => {
    const main = colour("--act");
    chart.applyOptions(look());
    drawn.applyOptions(bars ? { color: main } : { lineColor: main, topColor: colour("--act-faint"), bottomColor: "transparent" });
  };
  paint();
  forget();
  shown.push({ place, chart, paint });
  figure.dataset.drawn = "yes";
}

// Parts of the page are replaced: the charts that were in them go.
function forget() {
  const gone = shown.filter((one) => !one.place.isConnected);
  for (const one of gone) one.chart.remove();
  shown = shown.filter((one) => one.place.isConnected);
}

addEventListener("theme", () => {
  forget();
  for (const one of shown) one.paint();
});

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    draw(target).catch(() => { target.querySelector(".place").textContent = "The chart could not be loaded: the figures are below."; });
  }
}, { rootMargin: "200px" });

/** Draws the charts below an element when they come into sight; one point alone is no curve. */
export function begin(root = document) {
  for (const figure of root.querySelectorAll("figure[data-chart]")) {
    if (figure.querySelectorAll("tbody tr").length > 1) seen.observe(figure);
  }
}
