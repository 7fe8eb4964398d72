// Whether the generator itself keeps up: by the limits that decide whether a run's figures can be believed.
import { html } from "../vendor/preact.js";
import * as format from "./format.js";

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

const Item = ({ label, children }) => html`<div><dt>${label}</dt><dd>${children}</dd></div>`;

/** One line: the judgement, and the figures that it is from. */
export function Health({ stats }) {
  const idle = !(stats.runningDeviceCount > 0);
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
