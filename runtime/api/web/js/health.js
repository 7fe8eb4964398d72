// Whether the generator itself keeps up: by the limits that decide whether a run's figures can be believed.
import { html } from "../vendor/preact.js";
import { log } from "./events.js";
import * as format from "./format.js";
import { columns } from "./history.js";
import { read } from "./store.js";

const SUSTAINED = 4; // seconds
const CAUSE_MS = 120000; // what the log said longer ago is about something else

const LATE_MS = 50;
const TOO_LATE_MS = 1000;
const BUSY = 0.9;

/** {level: "good" | "warn" | "bad", word, reasons: what keeps it from being good}. */
export function judge(stats) {
  const late = stats.latenessMs?.p99 ?? 0;
  const reasons = [];
  if (late > LATE_MS) reasons.push(`1 % of messages leave ${format.ms(late)} late or later`);
  if (stats.loopBusy > BUSY) reasons.push(`a worker's loop is ${format.percent(stats.loopBusy, 1)} busy`);
  if (stats.ownLoopBusy > BUSY) reasons.push(`the service's own loop is ${format.percent(stats.ownLoopBusy, 1)} busy`);
  if (stats.workerRestarts > 0) reasons.push(`${format.plural(stats.workerRestarts, "worker")} had to be replaced`);
  const level = late > TOO_LATE_MS ? "bad" : reasons.length ? "warn" : "good";
  const word = { good: "keeps up", warn: "is under strain", bad: "can't keep up: don't trust latencies" }[level];
  return { level, word, reasons };
}

/** How many devices have wanted a connection for seconds and have none, though nothing is being launched. */
function waiting() {
  const launching = [...read().operations.values()].some((p) => p.status === "running");
  const last = columns.t.length;
  if (launching || last < SUSTAINED) return 0;
  const without = (i) => (columns.starting[i] ?? 0) + Math.max(0, (columns.running[i] ?? 0) - (columns.connected[i] ?? 0));
  return Math.min(...Array.from({ length: SUSTAINED }, (_, k) => without(last - 1 - k)));
}

/** What the log said last about connections, without the group in front. */
function cause() {
  for (let i = log.length - 1; i >= 0 && Date.now() - log[i].at < CAUSE_MS; i--) {
    if (log[i].kind === "log" && log[i].level && /connect|refus|broker|resolve|address/i.test(log[i].text)) {
      return log[i].text.replace(/^[\w.~-]+: /, "").replace(/ \(×[\d,]+\)$/, "");
    }
  }
  return null;
}

/** Says that devices find no broker, why, and what to do: nothing else on the page would. */
export function Unconnected({ stats }) {
  const count = waiting();
  if (!count) return null;
  const why = cause();
  return html`<p class="problem" role="alert"><strong>${format.plural(count, "device")} can't connect${why ? `: ${why}` : ""}</strong>
    They go on trying. See that their broker${stats.broker ? html` (<code>${stats.broker}</code>, unless they have one of their own)` : ""}
    runs and takes so many connections. <a href="#/devices?status=starting">Which devices</a>, <a href="#/events">what happens</a>.</p>`;
}

const Item = ({ label, children }) => html`<div><dt>${label}</dt><dd>${children}</dd></div>`;

/** One line: the judgement, and the figures that it is from. */
export function Health({ stats }) {
  const idle = !(stats.connected > 0);
  const { level, word, reasons } = idle ? { level: "idle", word: "is idle", reasons: [] } : judge(stats);
  return html`<section class=${`health ${level}`} aria-label="Health of the generator">
    <p><i aria-hidden="true"></i><b>The generator ${word}</b>${reasons.length ? html`<span>${reasons.join("; ")}</span>` : null}</p>
    <dl>
      <${Item} label="Late, 99 %">${format.ms(stats.latenessMs?.p99)}<//>
      <${Item} label="Busiest worker">${format.percent(stats.loopBusy ?? NaN, 1)}<//>
      <${Item} label="Workers">${format.count(stats.workers)}<//>
      <${Item} label="Memory">${format.bytes(stats.memoryBytes)}<//>
      ${stats.broker ? html`<${Item} label="Broker"><code>${stats.broker}</code><//>` : null}
    </dl>
  </section>`;
}
