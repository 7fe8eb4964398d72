// Charts over time, and curves of strategies: uPlot with this page's colours, a legend that shows the latest value or
// the one under the pointer, and a description for those who don't see it.
import { html, useEffect, useLayoutEffect, useRef } from "../vendor/preact.js";
import uPlot from "../vendor/uplot.js";
import * as format from "./format.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const plots = new Set();

/** Draws every chart anew in the colours that hold now. */
export function recolour() {
  for (const plot of plots) plot.redraw();
}

const axisOf = (extra) => ({
  stroke: () => colour("--muted"),
  grid: { stroke: () => colour("--line"), width: 1 },
  ticks: { show: false },
  font: "12px system-ui, sans-serif",
  ...extra,
});

/** "15:04", with seconds where ticks are closer than a minute. */
function clock(u, ticks) {
  const fine = ticks.length > 1 && ticks[1] - ticks[0] < 60;
  return ticks.map((t) => (fine ? format.time(1000 * t) : format.time(1000 * t).slice(0, 5)));
}

function upFromZero(min, max, least) {
  if (max === null || max === undefined || max <= 0) return [0, least];
  return [Math.min(0, min), Math.max(max * 1.08, least)];
}

function options({ series, height, stacked, unit, x, yRange: range, spark, yLeast = 1, sync }) {
  const show = (v) => (unit === "ms" ? format.ms(v) : format.axis(v));
  return {
    width: 300,
    height,
    padding: spark ? [4, 2, 4, 2] : [8, 26, 0, 0],
    legend: { show: false },
    cursor: {
      show: !spark,
      y: false,
      drag: { x: false, y: false },
      points: { show: !stacked },
      sync: sync ? { key: sync } : undefined,
    },
    scales: {
      x: { time: x.time !== false, range: x.range },
      y: { range: range || ((u, min, max) => upFromZero(min, max, yLeast)) },
    },
    axes: [
      axisOf({ show: !spark, size: 26, space: 76, values: x.values || clock }),
      axisOf({ show: !spark, size: 58, space: 34, values: (u, ticks) => ticks.map(show) }),
    ],
    series: [{}].concat(
      (stacked ? [...series].reverse() : series).map((s) => ({
        stroke: () => colour(s.colour),
        width: stacked ? 0 : spark ? 1.5 : 1.8,
        fill: stacked ? () => colour(s.colour) : s.fill ? () => `${colour(s.colour)}22` : undefined,
        points: { show: false },
        paths: s.steps ? uPlot.paths.stepped({ align: 1 }) : undefined,
        spanGaps: false,
      })),
    ),
  };
}

/** Cumulative sums, the highest first, so that each area is painted over the one behind it. */
function stack(columns) {
  const sums = [];
  columns.forEach((column, i) => {
    sums.push(column.map((v, k) => (v === null ? null : v + (i ? (sums[i - 1][k] ?? 0) : 0))));
  });
  return sums.reverse();
}

/**
 * One plot. props: title, series [{name, label, colour, fill?, steps?}], x (values), columns (one per series),
 * height, stacked, unit ("ms" or none), xAxis {time?, values?}, xRange() → [from, to], yRange(u, min, max), note, spark (no axes, no legend), sync,
 * summary (what it shows, in words).
 */
export function Chart(props) {
  const { title, series, x, columns, height = 200, stacked, unit, spark, note, className = "" } = props;
  const box = useRef();
  const plot = useRef();
  const legend = useRef([]);
  const widest = useRef([]);
  const latest = useRef(props);
  latest.current = props;

  const labels = (index) => {
    const { series: s, columns: c, x: xs } = latest.current;
    s.forEach((one, i) => {
      const element = legend.current[i];
      if (!element) return;
      let k = index ?? xs.length - 1;
      const v = c[i]?.[k];
      const text = latest.current.unit === "ms" ? format.ms(v) : format.rate(v);
      if (text === element.textContent) return;
      element.textContent = text;
      if (text.length > (widest.current[i] || 4)) { // what was wide once stays so: nothing beside it moves back and forth
        widest.current[i] = text.length;
        element.style.minWidth = `${text.length}ch`;
      }
    });
  };

  useEffect(() => {
    const u = new uPlot(
      {
        ...options({ ...props, height, x: { ...props.xAxis, range: () => latest.current.xRange?.() ?? fit(latest.current.x) } }),
        hooks: { setCursor: [(self) => labels(self.cursor.idx)] },
      },
      dataOf(latest.current),
      box.current,
    );
    u.root.querySelector("canvas").setAttribute("aria-hidden", "true");
    plot.current = u;
    plots.add(u);
    const fitWidth = () => {
      const width = Math.floor(box.current?.clientWidth || 0);
      if (width > 0 && width !== u.width) u.setSize({ width, height });
    };
    const observer = new ResizeObserver(fitWidth);
    observer.observe(box.current);
    fitWidth();
    return () => {
      observer.disconnect();
      plots.delete(u);
      u.destroy();
    };
  }, [series, height, stacked, unit]);

  useLayoutEffect(() => {
    if (!plot.current) return;
    plot.current.setData(dataOf(props));
    labels(plot.current.cursor.idx ?? null);
  });

  const summary = props.summary ?? `${title}: ${series.map((s, i) => {
    const v = columns[i]?.[columns[i].length - 1];
    return `${s.label} ${unit === "ms" ? format.ms(v) : format.rate(v)}`;
  }).join(", ")}`;

  const canvas = html`<div class="plot" ref=${box} role="img" aria-label=${summary}
    style=${`--plot-height:${height}px`}></div>`;
  if (spark) return canvas;
  return html`<figure class=${`chart ${className}`}>
    <figcaption>
      <h2>${title}</h2>
      ${note && html`<small>${note}</small>`}
      ${series.length > 1 || props.legend
        ? html`<ul class="legend" aria-hidden="true">
            ${series.map((s, i) => html`<li key=${s.label}>
              <i style=${`background:var(${s.colour})`}></i>${s.label} <b ref=${(e) => (legend.current[i] = e)}></b>
            </li>`)}
          </ul>`
        : null}
    </figcaption>
    ${canvas}
  </figure>`;
}

const fit = (xs) => (xs.length > 1 ? [xs[0], xs[xs.length - 1]] : [(xs[0] ?? 0) - 1, (xs[0] ?? 0) + 1]);

function dataOf({ x, columns, stacked }) {
  return [x, ...(stacked ? stack(columns) : columns)];
}
