// The last 15 minutes of figures, one column per series. They live in the page, and survive its reload.
import { STATES } from "./store.js";

export const KEPT_S = 900;
const KEY = "iotix-history";

const readers = {
  t: (s, now) => now / 1000,
  sent: (s) => s.rates?.messagesSent,
  received: (s) => s.rates?.messagesReceived,
  connects: (s) => s.rates?.connects,
  errors: (s) => s.rates?.errors,
  p50: (s) => s.latencyMs?.p50,
  p95: (s) => s.latencyMs?.p95,
  p99: (s) => s.latencyMs?.p99,
  late50: (s) => s.latenessMs?.p50,
  late99: (s) => s.latenessMs?.p99,
  lateMax: (s) => s.latenessMs?.max,
};
for (const name of STATES) readers[name] = (s) => s.byStatus?.[name];

export const columns = Object.fromEntries(Object.keys(readers).map((name) => [name, []]));

/** Adds one second; null is a gap, in which nothing was heard. */
export function record(stats, now = Date.now()) {
  for (const [name, read] of Object.entries(readers)) {
    const value = name === "t" ? now / 1000 : stats && read(stats, now);
    columns[name].push(value ?? null);
  }
  let old = 0;
  while (old < columns.t.length && columns.t[old] < now / 1000 - KEPT_S) old++;
  if (old) for (const name of Object.keys(columns)) columns[name].splice(0, old);
}

/** Keeps the columns over a reload of the page. */
export function remember() {
  window.addEventListener("pagehide", () => {
    try {
      sessionStorage.setItem(KEY, JSON.stringify(columns));
    } catch {
      // no storage, or no room: the charts begin anew
    }
  });
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) || "null");
    sessionStorage.removeItem(KEY);
    if (!kept || !Object.keys(columns).every((name) => kept[name]?.length === kept.t.length)) return;
    for (const name of Object.keys(columns)) columns[name].push(...kept[name]);
    record(null, kept.t.length ? 1000 * kept.t[kept.t.length - 1] + 1 : Date.now());
  } catch {
    // what was kept is of no use
  }
}
