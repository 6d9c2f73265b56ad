// Draws <figure data-chart="line|bars"> from the table inside it; the library is loaded when the first one is seen.
// The table stays for those who read it: a row a point, the first column the time, each further column a series.

let library = null;

async function charts() {
  library ??= import("./lightweight-charts.js").then(() => globalThis.LightweightCharts);
  return library;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function look() {
  return {
    layout: { background: { color: "transparent" }, textColor: colour("--soft"), fontFamily: "inherit", attributionLogo: false },
    grid: { vertLines: { visible: false }, horzLines: { color: colour("--line") } },
    rightPriceScale: { borderVisible: false },
    timeScale: { borderVisible: false, timeVisible: true },
  };
}

// A cell without a value is a gap, not a zero.
function point(row, column) {
  const [when, ...cells] = [...row.querySelectorAll("time, data")];
  const at = when.dateTime.length === 10 ? when.dateTime : new Date(when.dateTime).getTime() / 1000;
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
  const paint = () => {
    const main = colour("--act");
    chart.applyOptions(look());
    drawn.applyOptions(bars ? { color: main } : { lineColor: main, topColor: colour("--act-faint"), bottomColor: "transparent" });
  };
  paint();
  addEventListener("theme", paint);
  figure.dataset.drawn = "yes";
}

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    draw(target).catch(() => { target.querySelector(".place").textContent = "The chart could not be loaded: the figures are below."; });
  }
}, { rootMargin: "200px" });

/** Draws the charts of the page when they come into sight. */
export function begin() {
  for (const figure of document.querySelectorAll("figure[data-chart]")) seen.observe(figure);
}
