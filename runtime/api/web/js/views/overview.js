// The fleet at a glance: figures of now, and their last minutes.
import { html, useState } from "../../vendor/preact.js";
import { Chart } from "../chart.js";
import * as format from "../format.js";
import { columns } from "../history.js";
import { STATES, useStore } from "../store.js";
import { Empty, Head, Progress } from "../ui.js";

const BY_STATE = STATES.map((name) => ({ label: name, colour: `--${name}` }));
const MESSAGES = [
  { label: "sent", colour: "--line-a", fill: true },
  { label: "received", colour: "--line-b" },
];
const LATENCY = [
  { label: "median", colour: "--line-a" },
  { label: "95 %", colour: "--line-b" },
  { label: "99 %", colour: "--line-c" },
];
const LATENESS = [
  { label: "median", colour: "--line-a" },
  { label: "99 %", colour: "--line-b" },
  { label: "worst", colour: "--line-c" },
];
const CONNECTS = [{ label: "connects", colour: "--line-b", fill: true }];
const ERRORS = [{ label: "errors", colour: "--line-d", fill: true }];
const SPANS = [[60, "1 min"], [300, "5 min"], [900, "15 min"]];

const Figure = ({ label, value, unit, note, level = "" }) => html`<div class=${`figure ${level}`}>
  <dt>${label}</dt>
  <dd class="value">${value}${unit ? html`<small>${unit}</small>` : null}</dd>
  <dd class="note" title=${note}>${note || " "}</dd>
</div>`;

/** How well this machine keeps the schedule, in the limits by which runs are judged. */
function lateness(stats) {
  const p99 = stats.latenessMs?.p99;
  if (!(p99 > 50)) return { note: p99 === undefined || p99 === null ? "nothing was due" : "on schedule" };
  return p99 > 1000
    ? { level: "bad", note: "too late: don't trust latencies" }
    : { level: "warn", note: "this machine is behind" };
}

function Figures({ stats }) {
  const r = stats.rates || {};
  const by = stats.byStatus || {};
  const [latency, latencyUnit] = format.msParts(stats.latencyMs?.p99);
  const [late, lateUnit] = format.msParts(stats.latenessMs?.p99);
  const faulty = (by.error || 0) + (by.dropped || 0);
  const judged = lateness(stats);
  return html`<dl class="figures">
    <${Figure} label="Running" value=${format.count(stats.runningDeviceCount)}
      note=${stats.connected !== undefined && stats.connected !== stats.runningDeviceCount
        ? `${format.count(stats.connected)} connected` : `of ${format.plural(stats.deviceCount, "device")}`} />
    <${Figure} label="Messages sent" value=${format.rate(r.messagesSent)} unit="/s"
      note=${`${format.rate(stats.messagesSent)} in all`} />
    <${Figure} label="Latency, 99 %" value=${latency} unit=${latencyUnit}
      note=${`median ${format.ms(stats.latencyMs?.p50)}`} />
    <${Figure} label="Lateness, 99 %" value=${late} unit=${lateUnit} ...${judged} />
    <${Figure} label="Connects" value=${format.rate(r.connects)} unit="/s"
      note=${stats.loopBusy > 0.9 ? "a worker is at its limit" : `worker load ${format.percent(stats.loopBusy, 1)}`}
      level=${stats.loopBusy > 0.9 ? "warn" : ""} />
    <${Figure} label="Errors" value=${format.rate(r.errors)} unit="/s" level=${r.errors > 0 ? "bad" : ""}
      note=${faulty ? [by.error && `${format.count(by.error)} in error`, by.dropped && `${format.count(by.dropped)} dropped`]
        .filter(Boolean).join(", ") : r.errors > 0 ? "see the events" : "no device in trouble"} />
  </dl>`;
}

const Operations = ({ running }) => html`<section class="card" aria-labelledby="operations">
  <h2 id="operations">Operations</h2><div class="stack operations">
    ${running.length
      ? running.map((p) => html`<div key=${p.groupId}><a href=${`#/groups/${encodeURIComponent(p.groupId)}`}>${p.groupId}</a>
          <${Progress} operation=${p} /></div>`)
      : html`<p class="muted">Nothing is being started, stopped or dropped out.</p>`}
  </div></section>`;

function Service({ stats }) {
  return html`<section class="card" aria-labelledby="service"><h2 id="service">Service</h2><dl class="facts">
    <dt>Groups</dt><dd>${format.count(stats.groupCount)}</dd>
    <dt>Models</dt><dd>${format.count(stats.modelCount)}</dd>
    <dt>Workers</dt><dd>${format.count(Array.isArray(stats.workers) ? stats.workers.length : stats.workers)}</dd>
    <dt>Memory</dt><dd>${format.bytes(stats.memoryBytes)}</dd>
    <dt>Sent</dt><dd>${format.plural(stats.messagesSent, "message")}, ${format.bytes(stats.bytesSent)}</dd>
    <dt>Received</dt><dd>${format.plural(stats.messagesReceived, "message")}</dd>
    <dt>Up for</dt><dd>${format.duration(1000 * stats.uptimeSeconds)}</dd>
  </dl></section>`;
}

export function Overview() {
  const stats = useStore((s) => s.stats);
  const operations = useStore((s) => s.operations);
  const [span, setSpan] = useState(300);
  const running = [...operations.values()].filter((p) => p.status === "running");
  const now = () => (columns.t.length ? columns.t[columns.t.length - 1] : Date.now() / 1000);
  const shared = { x: columns.t, xRange: () => [Math.max(now() - span, Math.min(columns.t[0] ?? 0, now() - 60)), now()], sync: "overview" };
  const of = (...names) => names.map((n) => columns[n]);
  const spans = html`<div class="segmented" role="group" aria-label="Time shown">
    ${SPANS.map(([s, text]) => html`<button key=${s} type="button" aria-pressed=${span === s ? "true" : "false"}
      onClick=${() => setSpan(s)}>${text}</button>`)}
  </div>`;
  const seen = stats?.deviceCount > 0 || STATES.some((s) => columns[s].some((n) => n > 0));
  if (!stats) return html`<${Head} title="Overview" /><p class="muted">Waiting for the first figures…</p>`;
  return html`
    <${Head} title="Overview" actions=${spans} />
    <div class="stack">
      ${(stats.advice || []).map((line) => html`<p key=${line} class="note-box" role="note">${line}</p>`)}
      <${Figures} stats=${stats} />
      ${stats.deviceCount === 0
        ? html`<${Empty} icon="groups" title="No devices yet" actions=${html`
              <a class="button primary" href="#/groups?new=1">Create a group</a>
              <a class="button" href="#/models">Look at the models</a>`}>
            A group is a number of devices of one model. Create one, start it, and watch it here: how many are
            connected, what they send, and how fast the backend answers.
          <//>`
        : null}
      ${seen ? html`<div class="charts">
        <div class="card wide"><${Chart} title="Devices by state" series=${BY_STATE} columns=${of(...STATES)} stacked
          height=${230} ...${shared} /></div>
        <div class="card"><${Chart} title="Messages per second" series=${MESSAGES} columns=${of("sent", "received")}
          ...${shared} /></div>
        <div class="card"><${Chart} title="Latency" note="due to acknowledged" series=${LATENCY} unit="ms"
          columns=${of("p50", "p95", "p99")} ...${shared} /></div>
        <div class="card"><${Chart} title="Lateness" note="this machine's own delay" series=${LATENESS} unit="ms"
          columns=${of("late50", "late99", "lateMax")} ...${shared} /></div>
        <div class="card"><${Chart} title="Connects per second" series=${CONNECTS} columns=${of("connects")} legend
          ...${shared} /></div>
        <div class="card"><${Chart} title="Errors per second" series=${ERRORS} columns=${of("errors")} legend
          ...${shared} /></div>
        <div class="stack"><${Operations} running=${running} /><${Service} stats=${stats} /></div>
      </div>` : null}
    </div>`;
}
