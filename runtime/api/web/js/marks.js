// What happened, as marks on the charts: launches, stops, dropouts, losses of connections, the service gone and back.
import { count, plural } from "./format.js";
import { read } from "./store.js";

const KEPT = 200;
const SAME_S = 1; // told twice
const TOGETHER_S = 10; // losses that go on for so long are one mark

/**
 * Oldest first: {t (seconds), kind, text, group, what}. Kinds are colours: start, stop, dropout, bad. `what`: the text on
 * the group's own page.
 */
export const marks = [];

const NAMES = { start: "launch", stop: "stop", dropout: "dropout" };

export function mark(kind, text, { t = Date.now() / 1000, group, what } = {}) {
  const same = marks.find((m) => m.kind === kind && m.text === text && m.group === group && Math.abs(m.t - t) < SAME_S);
  if (same) return;
  marks.push({ t, kind, text, group, what });
  marks.sort((a, b) => a.t - b.t);
  if (marks.length > KEPT) marks.shift();
}

/** Long ids keep both ends: that is where they differ. */
const brief = (id) => (id.length > 28 ? `${id.slice(0, 16)}…${id.slice(-8)}` : id);

/** An operation of a group began. */
export function markOperation({ groupId, operation, strategy, startedAt }) {
  const at = startedAt ? Date.parse(startedAt) / 1000 : undefined;
  if (!NAMES[operation]) return;
  const how = strategy && strategy !== "immediate" ? `, ${strategy}` : "";
  mark(operation, `${NAMES[operation]} of ${brief(groupId)}${how}`, { t: at, group: groupId, what: `${NAMES[operation]}${how}` });
}

let falling = null; // the mark of connections that are being lost

/** Compares two seconds of figures: what nobody asked for is marked. */
export function markLosses(before, now) {
  if (!before) return;
  if (now.workerRestarts > before.workerRestarts) mark("bad", "a worker was replaced");
  const asked = [...read().operations.values()].some((p) => p.operation !== "start" && (p.status === "running" || Date.now() - p.at < 3000));
  const away = ({ byStatus: by = {} }) => (by.dropped ?? 0) + (by.stopping ?? 0) + (by.stopped ?? 0);
  const lost = before.connected - now.connected - Math.max(0, away(now) - away(before));
  const few = now.deviceCount < before.deviceCount || lost < Math.max(1, before.connected / 50);
  const t = Date.now() / 1000;
  if (asked || few) return;
  if (falling && t - falling.t < TOGETHER_S) falling.lost += lost;
  else {
    falling = { t, kind: "bad", lost };
    marks.push(falling);
  }
  falling.text = `${plural(falling.lost, "connection")} lost`;
}

/** The marks between two instants; of one group, and those that are about everything, if a group is given. */
export const marksIn = (from, to, group) =>
  marks.filter((m) => m.t >= from && m.t <= to && (!group || !m.group || m.group === group));

/** Marks of one place as one text; `own`: on the page of their group. */
export function words(list, own) {
  const texts = list.map((m) => (own && m.what) || m.text);
  return list.length > 2 ? `${texts[0]} and ${count(list.length - 1)} more` : texts.join("; ");
}
