// The last 15 minutes of figures, one column per series: those that the service kept, and those that came since.
import { marks } from "./marks.js";
import { read, STATES, update } from "./store.js";

export const KEPT_S = 900;
const HELD_S = 3600; // what somebody looks at stays for longer
const KEY = "iotix-history";

// Column: where it is in the figures of now, and its name in the service's history.
const SERIES = {
  connected: [(s) => s.connected, "connected"],
  sent: [(s) => s.rates?.messagesSent, "messagesSent"],
  received: [(s) => s.rates?.messagesReceived, "messagesReceived"],
  connects: [(s) => s.rates?.connects, "connects"],
  errors: [(s) => s.rates?.errors, "errors"],
  p50: [(s) => s.latencyMs?.p50, "latencyP50"],
  p95: [(s) => s.latencyMs?.p95, "latencyP95"],
  p99: [(s) => s.latencyMs?.p99, "latencyP99"],
  late50: [(s) => s.latenessMs?.p50, "latenessP50"],
  late99: [(s) => s.latenessMs?.p99, "latenessP99"],
  lateMax: [(s) => s.latenessMs?.max, "latenessMax"],
  busy: [(s) => s.loopBusy, "loopBusy"],
};
for (const name of STATES) SERIES[name] = [(s) => s.byStatus?.[name], name];
const NAMES = Object.keys(SERIES);

/** t: seconds since the epoch; the others as long; null is a gap. */
export const columns = Object.fromEntries(["t", ...NAMES].map((name) => [name, []]));

function forget(now) {
  const held = read().held;
  const first = Math.max(now - HELD_S, Math.min(now - KEPT_S, held ? held[0] : now));
  let old = 0;
  while (old < columns.t.length && columns.t[old] < first) old++;
  if (old) for (const name of Object.keys(columns)) columns[name].splice(0, old);
}

/** Adds one second; null is a gap, in which nothing was heard. */
export function record(stats, now = Date.now()) {
  columns.t.push(now / 1000);
  for (const name of NAMES) columns[name].push((stats && SERIES[name][0](stats)) ?? null);
  forget(now / 1000);
}

/** How many seconds of the service's history are missing here. */
export function missing() {
  let last = columns.t.length - 1;
  while (last >= 0 && columns.running[last] === null) last--;
  return last < 0 ? KEPT_S : Math.min(KEPT_S, Math.ceil(Date.now() / 1000 - columns.t[last]) + 3);
}

/**
 * Takes a history of the service, {timeMs, series}, over into columns (t and others; `nameOf` gives their names there): it
 * knows of the time before this page, and of that in which the page was not connected. What is older stays.
 */
export function merge(into, { timeMs = [], series = {} }, nameOf) {
  if (!timeMs.length) return;
  const ahead = timeMs[timeMs.length - 1] - Date.now(); // clocks of other machines may be wrong
  const shift = Math.abs(ahead) > 3000 ? ahead : 0;
  const t = timeMs.map((at) => (at - shift) / 1000);
  let kept = 0;
  while (kept < into.t.length && into.t[kept] < t[0] - 0.5) kept++;
  const since = into.t.findIndex((at) => at > t[t.length - 1] + 0.5);
  const gap = kept > 0 && t[0] - into.t[kept - 1] > 2.5;
  for (const name of Object.keys(into)) {
    const column = into[name];
    const middle = name === "t" ? t : (series[nameOf(name)] ?? t.map(() => null));
    into[name] = [...column.slice(0, kept), ...(gap ? [name === "t" ? t[0] - 0.01 : null] : []), ...middle,
      ...(since < 0 ? [] : column.slice(since))];
  }
}

/** Takes over GET /api/v1/stats/history. */
export function fill(history) {
  merge(columns, history, (name) => SERIES[name][1]);
  update({ filled: read().filled + 1 });
}

/** Keeps columns and marks over a reload of the page. */
export function remember() {
  window.addEventListener("pagehide", () => {
    try {
      sessionStorage.setItem(KEY, JSON.stringify({ columns, marks }));
    } catch {
      // no storage, or no room: the charts begin with what the service kept
    }
  });
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) || "null");
    sessionStorage.removeItem(KEY);
    if (!kept || !Object.keys(columns).every((name) => kept.columns[name]?.length === kept.columns.t.length)) return;
    for (const name of Object.keys(columns)) columns[name] = kept.columns[name];
    marks.push(...kept.marks);
    forget(Date.now() / 1000);
    if (columns.t.length) record(null, 1000 * columns.t[columns.t.length - 1] + 1);
  } catch {
    // what was kept is of no use
  }
}
