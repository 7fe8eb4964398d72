// The event stream: one connection for the whole page, which comes back by itself.
import { api } from "./api.js";
import { count } from "./format.js";
import { fill, missing, record } from "./history.js";
import { mark, markLosses, markOperation } from "./marks.js";
import { read, update } from "./store.js";
import { retitle } from "./title.js";

const SILENT_MS = 6000; // stats come every second: longer silence means that nobody is there
const RETRY_MS = [500, 1000, 2000, 3000];
const KEPT = 2000;
const FEW = 3;

let source = null;
let tries = 0;
let retryTimer = 0;
let silenceTimer = 0;
let serial = 0;

/** The latest things that happened, newest last: {id, at, kind, level, text, device, group, status, ids}. */
export const log = [];

const stateListeners = new Set();

/** Calls fn(devices, more) for every batch of state changes; returns how to stop that. */
export function onStates(fn) {
  stateListeners.add(fn);
  return () => stateListeners.delete(fn);
}

function note(kind, text, more = {}) {
  log.push({ id: ++serial, at: Date.now(), kind, text, ...more });
  if (log.length > KEPT + 200) log.splice(0, log.length - KEPT);
  update({ logged: serial });
}

function lost() {
  source?.close();
  source = null;
  clearTimeout(silenceTimer);
  clearTimeout(retryTimer);
  if (read().link !== "lost") {
    record(null);
    note("link", "Connection to the service lost", { level: "error" });
    mark("bad", "service does not answer");
    update({ link: "lost", lostAt: Date.now() });
    retitle();
  }
  retryTimer = setTimeout(connect, RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]);
}

function heard() {
  clearTimeout(silenceTimer);
  silenceTimer = setTimeout(lost, SILENT_MS);
}

/** A few changes are a line each; many that are alike are one line, which knows whom it is about. */
function noteStates(list) {
  const { groupId: group, status } = list[0];
  const level = status === "error" ? "error" : undefined;
  if (list.length > FEW) {
    const name = group ? `${group}: ` : "";
    note("state", `${name}${count(list.length)} devices are ${status}`, { level, group, status, ids: list.map((d) => d.id) });
    return;
  }
  for (const d of list) {
    const link = d.connectionState && d.connectionState !== "connected" ? `, ${d.connectionState}` : "";
    note("state", `${d.id} is ${status}${link}`, { level, group, status, device: d.id });
  }
}

/** What happened while this page did not listen: the figures that the service kept, operations of groups. */
async function catchUp(seconds) {
  try {
    fill(await api.history(seconds));
    for (const { groupId, operation: o } of await api.groups()) {
      if (o) markOperation({ ...o, groupId });
    }
    const page = await (await fetch("/", { cache: "no-cache" })).text();
    update({ outdated: !page.includes(new URL("..", import.meta.url).pathname) });
  } catch {
    // gone again already; the next connection asks anew
  }
}

const parts = {
  stats(stats) {
    tries = 0;
    const { link, stats: before } = read();
    const seconds = missing();
    if (link === "live") markLosses(before, stats);
    record(stats);
    if (link === "lost") {
      note("link", "Connected to the service again");
      mark("start", "service is back");
    }
    update(link === "live" ? { stats } : { stats, link: "live", epoch: read().epoch + 1 });
    retitle();
    if (link !== "live") catchUp(seconds);
  },

  state({ devices = [], more = 0 }) {
    const alike = new Map(); // changes of one batch that are the same: group and status → devices
    for (const d of devices) {
      const key = `${d.groupId ?? ""}\n${d.status}`;
      if (alike.has(key)) alike.get(key).push(d);
      else alike.set(key, [d]);
    }
    for (const list of alike.values()) noteStates(list);
    if (more > 0) note("state", `${count(more)} further changes of state at the same time`);
    for (const fn of stateListeners) fn(devices, more);
  },

  progress(p) {
    const operations = new Map(read().operations);
    operations.set(p.groupId, { ...p, at: Date.now() });
    const before = read().operations.get(p.groupId);
    if (!before || before.status !== p.status || before.operation !== p.operation) {
      const what = `${p.operation}${p.strategy ? ` (${p.strategy})` : ""}`;
      note("progress", `${p.groupId}: ${what} ${p.status === "running" ? "began" : p.status}, ` +
        `${count(p.done)} of ${count(p.total)}`, { group: p.groupId });
      if (p.status === "running" || !before || before.status !== "running") markOperation(p);
    }
    update({ operations });
  },

  log({ level, message }) {
    note("log", message, { level: /^err|fatal/i.test(level) ? "error" : /^warn/i.test(level) ? "warn" : undefined });
  },

  models() {
    update({ modelsChanged: read().modelsChanged + 1 });
  },

  groups() {
    update({ groupsChanged: read().groupsChanged + 1 });
  },
};

/** Connects, now. */
export function connect() {
  clearTimeout(retryTimer);
  source?.close();
  source = new EventSource("/api/v1/events");
  source.onerror = lost;
  source.onopen = heard;
  for (const [name, take] of Object.entries(parts)) {
    source.addEventListener(name, (event) => {
      heard();
      let data;
      try {
        data = JSON.parse(event.data || "{}");
      } catch {
        return; // cut off; the next one is whole
      }
      take(data ?? {});
    });
  }
  heard();
}

window.addEventListener("online", () => read().link !== "live" && connect());
