// Charts over time, and curves of strategies: uPlot with this page's colours, a legend that shows the latest values or
// those under the pointer, marks of what happened, and a description for those who don't see it. Charts of one `sync`
// share their pointer. Dragging over a chart over time shows that part of it (timeline.js), in all of them.
import { html, useEffect, useLayoutEffect, useRef } from "../vendor/preact.js";
import uPlot from "../vendor/uplot.js";
import * as format from "./format.js";
import { marksIn, words } from "./marks.js";
import { follow, hold, move, zoom } from "./timeline.js";

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

const shown = (unit, v) => (unit === "ms" ? format.ms(v) : format.rate(v));

function options({ series, height, stacked, unit, x, yRange: range, spark, yLeast = 1, sync }) {
  const show = (v) => (unit === "ms" ? format.ms(v) : format.axis(v));
  const overTime = x.time !== false;
  return {
    width: 300,
    height,
    padding: spark ? [4, 2, 4, 2] : [8, 26, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: overTime && !spark, y: false, setScale: false, dist: 5 },
      bind: { dblclick: () => () => overTime && follow() },
      points: { show: !stacked },
      sync: sync ? { key: sync } : undefined,
    },
    scales: {
      x: { time: overTime, range: x.range },
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
        dash: s.dash,
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

function dataOf({ x, columns, stacked }) {
  return [x, ...(stacked ? stack(columns) : columns)];
}

const fit = (xs) => (xs.length > 1 ? [xs[0], xs[xs.length - 1]] : [(xs[0] ?? 0) - 1, (xs[0] ?? 0) + 1]);

/** Marks that would cover each other, as one: {at (of the canvas), list}. */
function bundles(u, group, near) {
  const found = [];
  for (const m of marksIn(u.scales.x.min, u.scales.x.max, group)) {
    const at = Math.round(u.valToPos(m.t, "x", true));
    const last = found[found.length - 1];
    if (last && at - last.at < near) last.list.push(m);
    else found.push({ at, list: [m] });
  }
  return found;
}

/** Writes a mark's text beside its line, as much of it as there is room for. */
function drawWords(ctx, text, at, room, top, ratio) {
  const inner = room - 14 * ratio;
  const whole = ctx.measureText(text).width;
  const fits = whole <= inner ? text : `${text.slice(0, Math.floor((text.length * inner) / whole) - 1)}…`;
  if (inner < 50 * ratio && whole > inner) return;
  ctx.fillStyle = colour("--surface");
  ctx.globalAlpha = 0.86;
  ctx.fillRect(at + 3 * ratio, top + 1 * ratio, ctx.measureText(fits).width + 6 * ratio, 16 * ratio);
  ctx.globalAlpha = 1;
  ctx.fillStyle = colour("--text");
  ctx.fillText(fits, at + 6 * ratio, top + 3 * ratio);
}

/** Draws the marks: a dashed line each, and its words where there is room for them. */
function drawMarks(u, { marks, named }) {
  if (!marks) return;
  const { ctx } = u;
  const { left, top, width, height } = u.bbox;
  const ratio = devicePixelRatio || 1;
  ctx.save();
  ctx.font = `${11 * ratio}px system-ui, sans-serif`;
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  const found = bundles(u, marks.group, 6 * ratio);
  found.forEach(({ at, list }, i) => {
    const text = words(list, marks.group);
    ctx.strokeStyle = ctx.fillStyle = colour(`--mark-${list[list.length - 1].kind}`);
    ctx.lineWidth = 2 * Math.round(ratio); // even, about a whole `at`: sharp
    ctx.setLineDash([4 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(at, top);
    ctx.lineTo(at, top + height);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.beginPath();
    ctx.moveTo(at - 4 * ratio, top);
    ctx.lineTo(at + 4 * ratio, top);
    ctx.lineTo(at, top + 6 * ratio);
    ctx.fill();
    if (named) drawWords(ctx, text, at, (found[i + 1]?.at ?? left + width) - at, top, ratio);
  });
  ctx.restore();
}

/** The words beside the pointer: the instant, and the marks that are there. */
function tip(u, element, props) {
  const { idx, left } = u.cursor;
  const t = props.x[idx];
  if (idx === null || idx === undefined || left < 0 || t === undefined) {
    element.hidden = true;
    return;
  }
  const overTime = props.xAxis?.time !== false;
  const near = props.marks && overTime ? marksIn(u.posToVal(left - 6, "x"), u.posToVal(left + 6, "x"), props.marks.group) : [];
  const value = props.spark ? `${format.value(props.columns[0][idx])} · ` : "";
  element.textContent = value + (overTime ? format.time(1000 * t) : `${format.axis(t)} s`) + (near.length ? ` · ${words(near, props.marks.group)}` : "");
  element.hidden = false;
  const room = u.over.clientWidth;
  element.style.left = `${Math.max(0, Math.min(left + 8, room - element.offsetWidth - 2))}px`;
}

/** Arrow keys move the pointer from second to second; in a part that is held, + and - change it, Escape ends it. */
function keys(u, event, props) {
  const last = props.x.length - 1;
  if (last < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
  const held = { "+": () => zoom(2), "-": () => zoom(0.5), "<": () => move(-0.5), ">": () => move(0.5) }[event.key];
  if (step) {
    const from = u.cursor.idx ?? last;
    const idx = Math.max(0, Math.min(last, from + step));
    u.setCursor({ left: Math.max(0, u.valToPos(props.x[idx], "x")), top: 0 }, true, true);
  } else if (held) held();
  else if (event.key === "Escape" && u.cursor.left >= 0) {
    u.setCursor({ left: -10, top: -10 }, true, true);
    follow();
  } else return;
  event.preventDefault();
}

const Legend = ({ series, legend }) => html`<ul class="legend" aria-hidden="true">
  ${series.map((s, i) => html`<li key=${s.label}>
    <i style=${`background:var(${s.colour})`}></i>${s.label} <b ref=${(e) => (legend.current[i] = e)}></b>
  </li>`)}
</ul>`;

/** Hook: the function that shows the values at an index, or the latest, in the legend. */
function useLegend(latest) {
  const legend = useRef([]);
  const widest = useRef([]);
  const show = (index) => {
    const { series, columns, x, unit } = latest.current;
    series.forEach((one, i) => {
      const element = legend.current[i];
      if (!element) return;
      const text = shown(unit, columns[i]?.[index ?? x.length - 1]);
      if (text === element.textContent) return;
      element.textContent = text;
      if (text.length > (widest.current[i] || 4)) { // what was wide once stays so: nothing beside it moves back and forth
        widest.current[i] = text.length;
        element.style.minWidth = `${text.length}ch`;
      }
    });
  };
  return [legend, show];
}

/** Makes the plot in its box; returns how to remove it. */
function makePlot(box, tag, latest, labels) {
  const props = latest.current;
  const range = () => latest.current.xRange?.() ?? fit(latest.current.x);
  const selected = (u) => {
    if (u.select.width > 4) hold(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  };
  const moved = (u) => {
    labels(u.cursor.idx);
    tip(u, tag, latest.current);
  };
  const u = new uPlot(
    { ...options({ ...props, height: props.height ?? 200, x: { ...props.xAxis, range } }),
      hooks: { setCursor: [moved], setSelect: [selected], draw: [(self) => drawMarks(self, latest.current)] } },
    dataOf(props),
    box,
  );
  u.root.querySelector("canvas").setAttribute("aria-hidden", "true");
  u.over.append(tag);
  plots.add(u);
  const fitWidth = () => {
    const width = Math.floor(box.clientWidth || 0);
    if (width > 0 && width !== u.width) u.setSize({ width, height: props.height ?? 200 });
  };
  const observer = new ResizeObserver(fitWidth);
  observer.observe(box);
  fitWidth();
  return [u, () => {
    observer.disconnect();
    plots.delete(u);
    u.destroy();
  }];
}

function summaryOf({ title, series, columns, unit }) {
  return `${title}: ${series.map((s, i) => `${s.label} ${shown(unit, columns[i]?.[columns[i].length - 1])}`).join(", ")}`;
}

/**
 * One plot. props: title, series [{name, label, colour, fill?, steps?, dash?}], x (values), columns (one per series),
 * height, stacked, unit ("ms" or none), xAxis {time?, values?}, xRange() → [from, to], yRange(u, min, max), note, spark
 * (no axes, no legend), sync, marks {group?}, named (marks have their words), summary (what it shows, in words).
 */
export function Chart(props) {
  const { title, series, height = 200, stacked, unit, spark, note, className = "" } = props;
  const box = useRef();
  const plot = useRef();
  const latest = useRef(props);
  latest.current = props;
  const [legend, labels] = useLegend(latest);

  useEffect(() => {
    const tag = document.createElement("span");
    tag.className = "tip";
    tag.hidden = true;
    const [u, remove] = makePlot(box.current, tag, latest, labels);
    plot.current = u;
    return remove;
  }, [series, height, stacked, unit]);

  useLayoutEffect(() => {
    if (!plot.current) return;
    plot.current.setData(dataOf(props));
    labels(plot.current.cursor.idx ?? null);
    tip(plot.current, plot.current.over.querySelector(".tip"), props);
  });

  const canvas = html`<div class="plot" ref=${box} role="img" aria-label=${props.summary ?? summaryOf(props)}
    tabIndex=${spark ? undefined : 0} onKeyDown=${spark ? undefined : (e) => keys(plot.current, e, latest.current)}
    style=${`--plot-height:${height}px`}></div>`;
  if (spark) return canvas;
  return html`<figure class=${`chart ${className}`}>
    <figcaption>
      <h2>${title}</h2>
      ${note && html`<small>${note}</small>`}
      ${series.length > 1 || props.legend ? html`<${Legend} series=${series} legend=${legend} />` : null}
    </figcaption>
    ${canvas}
  </figure>`;
}
