// The fleet at a glance: figures of now, and their last minutes.
import { html, useEffect } from "../../vendor/preact.js";
import { Chart } from "../chart.js";
import * as format from "../format.js";
import { Health, judge, Unconnected } from "../health.js";
import { columns } from "../history.js";
import { TimeControls } from "../timecontrols.js";
import { follow, range, SPANS } from "../timeline.js";
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
const LOAD = [{ label: "busiest worker, %", colour: "--line-a", fill: true }];

const Figure = ({ label, value, unit, note, level = "" }) => html`<div class=${`figure ${level}`}>
  <dt>${label}</dt>
  <dd class="value">${value}${unit ? html`<small>${unit}</small>` : null}</dd>
  <dd class="note" title=${typeof note === "string" ? note : undefined}>${note || " "}</dd>
</div>`;

function Figures({ stats }) {
  const r = stats.rates || {};
  const by = stats.byStatus || {};
  const [latency, latencyUnit] = format.msParts(stats.latencyMs?.p99);
  const [late, lateUnit] = format.msParts(stats.latenessMs?.p99);
  const faulty = (by.error || 0) + (by.dropped || 0);
  const { level } = judge(stats);
  return html`<dl class="figures">
    <${Figure} label="Running" value=${format.count(stats.runningDeviceCount)}
      note=${stats.connected !== undefined && stats.connected !== stats.runningDeviceCount
        ? `${format.count(stats.connected)} connected` : `of ${format.plural(stats.deviceCount, "device")}`} />
    <${Figure} label="Messages sent" value=${format.rate(r.messagesSent)} unit="/s"
      note=${`${format.rate(stats.messagesSent)} in all`} />
    <${Figure} label="Latency, 99 %" value=${latency} unit=${latencyUnit}
      note=${`median ${format.ms(stats.latencyMs?.p50)}`} />
    <${Figure} label="Lateness, 99 %" value=${late} unit=${lateUnit}
      level=${level === "good" || !(stats.latenessMs?.p99 > 50) ? "" : level}
      note=${stats.latenessMs ? `median ${format.ms(stats.latenessMs.p50)}` : "nothing was due"} />
    <${Figure} label="Connects" value=${format.rate(r.connects)} unit="/s"
      note=${`${format.count(stats.connected)} connected`} />
    <${Figure} label="Errors" value=${format.rate(r.errors)} unit="/s" level=${r.errors > 0 ? "bad" : ""}
      note=${faulty ? [by.error && `${format.count(by.error)} in error`, by.dropped && `${format.count(by.dropped)} dropped`]
        .filter(Boolean).join(", ") : r.errors > 0 ? html`<a href="#/events">see the events</a>`
        : by.starting ? `${format.count(by.starting)} not connected yet` : "all is well"} />
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

/** The span is in the address: a link shows what was meant. */
function useSpan(query) {
  const span = useStore((s) => s.span);
  useEffect(() => {
    const wanted = Number(query.span);
    if (SPANS.some(([s]) => s === wanted) && wanted !== span) follow(wanted);
  }, []);
  useEffect(() => {
    if (span !== Number(query.span || 300)) history.replaceState(null, "", `#/overview?span=${span}`);
  }, [span]);
}

export function Overview({ query }) {
  const stats = useStore((s) => s.stats);
  const operations = useStore((s) => s.operations);
  useStore((s) => s.filled);
  useStore((s) => s.held);
  useSpan(query);
  const running = [...operations.values()].filter((p) => p.status === "running");
  const { t } = columns;
  const shared = { x: t, xRange: () => range(t[0], t[t.length - 1]), sync: "overview", marks: {} };
  const of = (...names) => names.map((n) => columns[n]);
  const seen = stats?.deviceCount > 0 || STATES.some((s) => columns[s].some((n) => n > 0));
  if (!stats) return html`<${Head} title="Overview" /><p class="muted">Waiting for the first figures…</p>`;
  return html`
    <${Head} title="Overview" actions=${html`<${TimeControls} />`} />
    <div class="stack">
      ${(stats.advice || []).map((line) => html`<p key=${line} class="note-box" role="note">${line}</p>`)}
      <${Unconnected} stats=${stats} />
      <${Health} stats=${stats} />
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
        <div class="card wide"><${Chart} title="Devices by state" series=${BY_STATE} columns=${of(...STATES)} stacked named
          height=${230} ...${shared} /></div>
        <div class="card"><${Chart} title="Messages per second" series=${MESSAGES} columns=${of("sent", "received")}
          ...${shared} /></div>
        <div class="card"><${Chart} title="Latency" note="from due to acknowledged" series=${LATENCY} unit="ms"
          columns=${of("p50", "p95", "p99")} ...${shared} /></div>
        <div class="card"><${Chart} title="Lateness" note="this machine's own delay" series=${LATENESS} unit="ms"
          columns=${of("late50", "late99", "lateMax")} ...${shared} /></div>
        <div class="card"><${Chart} title="Load of this machine" series=${LOAD} legend yRange=${() => [0, 100]}
          columns=${[columns.busy.map((v) => (v === null ? null : 100 * v))]} ...${shared} /></div>
        <div class="card"><${Chart} title="Connects per second" series=${CONNECTS} columns=${of("connects")} legend
          ...${shared} /></div>
        <div class="card"><${Chart} title="Errors per second" series=${ERRORS} columns=${of("errors")} legend
          ...${shared} /></div>
        <${Operations} running=${running} /><${Service} stats=${stats} />
      </div>` : null}
    </div>`;
}
