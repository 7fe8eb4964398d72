// Numbers, times and texts as people read them. Whatever is not known is a dash.
export const DASH = "–";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
const known = (x) => typeof x === "number" && Number.isFinite(x);

/** 1234567 → "1,234,567" */
export const count = (x) => (known(x) ? whole.format(x) : DASH);

/** Rates: one decimal below 10, thousands shortened from 100,000 on. */
export function rate(x) {
  if (!known(x)) return DASH;
  if (x >= 1e6) return `${(x / 1e6).toFixed(2)} M`;
  if (x >= 1e5) return `${tenth.format(x / 1e3)} k`;
  return x > 0 && x < 10 ? tenth.format(x) : whole.format(x);
}

/** The same, short enough for an axis. */
export function axis(x) {
  if (!known(x)) return "";
  const size = Math.abs(x);
  if (size >= 1e6) return `${+(x / 1e6).toFixed(2)}M`;
  if (size >= 1e4) return `${+(x / 1e3).toFixed(1)}k`;
  return size >= 1000 ? whole.format(x) : `${+x.toFixed(size < 1 ? 3 : size < 100 ? 1 : 0)}`;
}

/** Milliseconds as [number, unit]. */
export function msParts(ms) {
  if (!known(ms)) return [DASH, ""];
  if (ms >= 60000) return [tenth.format(ms / 60000), "min"];
  if (ms >= 1000) return [(ms / 1000).toFixed(ms < 10000 ? 2 : 1), "s"];
  if (ms >= 100) return [whole.format(ms), "ms"];
  if (ms >= 1) return [tenth.format(ms), "ms"];
  return ms === 0 ? ["0", "ms"] : [ms.toFixed(2), "ms"];
}

export const ms = (x) => msParts(x).join(" ").trim();

/** Durations that people plan with: "0 s", "50 s", "2 min 5 s", "3 h 20 min". */
export function duration(ms_) {
  if (!known(ms_)) return DASH;
  if (ms_ > 0 && ms_ < 1000) return `${whole.format(ms_)} ms`;
  const s = Math.round(ms_ / 1000);
  if (s < 60) return ms_ % 1000 && ms_ < 10000 ? `${tenth.format(ms_ / 1000)} s` : `${s} s`;
  if (s < 3600) return s % 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${s / 60} min`;
  const minutes = Math.round(s / 60);
  if (minutes < 1440) return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
  const hours = Math.round(minutes / 60);
  return hours % 24 ? `${Math.floor(hours / 24)} d ${hours % 24} h` : `${hours / 24} d`;
}

export function bytes(x) {
  if (!known(x)) return DASH;
  let unit = 0;
  while (x >= 1024 && unit < 4) {
    x /= 1024;
    unit++;
  }
  return `${unit && x < 100 ? x.toFixed(1) : whole.format(x)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

export const percent = (part, all) => (all > 0 ? `${tenth.format((100 * part) / all)} %` : DASH);

/** "1 device", "2 devices" */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export const time = (t) => (t ? clock.format(new Date(t)) : DASH);

/** The time, with its day unless that is today. */
export function dateTime(t) {
  if (!t) return DASH;
  const at = new Date(t);
  return at.toDateString() === new Date().toDateString() ? clock.format(at) : day.format(at);
}

/** A telemetry value as text. */
export function value(x) {
  if (x === null || x === undefined) return DASH;
  if (typeof x === "number") return Number.isInteger(x) ? whole.format(x) : String(+x.toPrecision(8));
  if (typeof x === "object") return JSON.stringify(x);
  return String(x);
}
