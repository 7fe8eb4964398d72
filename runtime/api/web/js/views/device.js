// One device: its values as they come, its facts, and its commands.
import { html, useEffect, useRef, useState } from "../../vendor/preact.js";
import { api, requests } from "../api.js";
import { Chart } from "../chart.js";
import { onStates } from "../events.js";
import * as format from "../format.js";
import { toast } from "../store.js";
import { typed } from "../strategy.js";
import { Confirm, Field, Head, ProblemBox, Select, State, useLoad } from "../ui.js";

const SPARK = [{ label: "value", colour: "--line-a", fill: true, steps: true }];
const KEPT = 300;

/** A value may come alone or with its instant: 21.5, or {value: 21.5, timestamp: …}. */
const plain = (v) => (v && typeof v === "object" && "value" in v ? v.value : v);

/** Hook: the values of this visit, one column of instants and numbers per attribute; those of `metrics` are the last. */
function useTrail(metrics) {
  const trail = useRef(new Map());
  const seen = useRef(null);
  if (!metrics || metrics === seen.current) return trail.current;
  seen.current = metrics;
  const now = Date.now() / 1000;
  for (const [name, given] of Object.entries(metrics.lastTelemetry || {})) {
    const v = plain(given);
    const number = typeof v === "boolean" ? Number(v) : v;
    if (typeof number !== "number") continue;
    const { x, y } = trail.current.get(name) || { x: [], y: [] };
    trail.current.set(name, { x: [...x, now].slice(-KEPT), y: [...y, number].slice(-KEPT) });
  }
  return trail.current;
}

function Value({ name, unit, given, trail }) {
  const v = plain(given);
  const range = (u, min, max) => {
    const room = (max - min) * 0.12 || Math.abs(max) * 0.05 || 1;
    return [min - room, max + room];
  };
  if (typeof v === "string") {
    return html`<section class="card" aria-label=${name}><h2>${name}</h2>
      <p class="value text">${v}${unit ? html`<small>${unit}</small>` : null}</p>
      <p><small>${format.plural(v.length, "character")}</small></p></section>`;
  }
  return html`<section class="card" aria-label=${name}>
    <h2>${name}</h2>
    <p class="value" title=${format.value(v)}>${format.value(v)}${unit ? html`<small>${unit}</small>` : null}</p>
    <p><small>${trail ? `${format.value(Math.min(...trail.y))} to ${format.value(Math.max(...trail.y))}` : "\u00a0"}</small></p>
    ${trail && trail.x.length > 1
      ? html`<${Chart} spark title=${name} series=${SPARK} height=${52} x=${trail.x} columns=${[trail.y]}
          summary=${`${name} over the last ${trail.x.length} readings`} yRange=${range} />`
      : html`<div class="plot" style="--plot-height:52px"></div>`}
  </section>`;
}

function Values({ model, metrics, trail }) {
  const units = new Map((model?.telemetry || []).map((t) => [t.name, t.unit]));
  const last = metrics?.lastTelemetry || {};
  const names = [...new Set([...units.keys(), ...Object.keys(last)])];
  if (!names.length) return html`<p class="muted">This model publishes no values of its own.</p>`;
  return html`<div class="values live">${names.map((name) => html`<${Value} key=${name} name=${name} unit=${units.get(name)}
    given=${last[name]} trail=${trail.get(name)} />`)}</div>`;
}

function Parameter({ parameter: p, value, onInput, fault }) {
  const label = `${p.name}${p.required ? "" : " (optional)"}`;
  const hint = [p.type, p.description].filter(Boolean).join(": ");
  const values = p.values || p.enum;
  if (values) {
    return html`<${Select} label=${label} value=${value ?? ""} onInput=${onInput} fault=${fault} hint=${p.description}
      options=${[["", "–"], ...values.map(String)]} />`;
  }
  if (p.type === "boolean") {
    return html`<${Field} type="checkbox" label=${label} hint=${p.description} value=${value} onInput=${onInput} fault=${fault} />`;
  }
  return html`<${Field} label=${label} hint=${hint} value=${value} onInput=${onInput} fault=${fault}
    inputMode=${/number|integer/.test(p.type) ? "decimal" : undefined} />`;
}

function Commands({ device, commands }) {
  const [name, setName] = useState(commands[0].name);
  const [values, setValues] = useState({});
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const command = commands.find((c) => c.name === name) || commands[0];
  const parameters = command.parameters || [];
  const send = async (event) => {
    event.preventDefault();
    const body = {};
    for (const p of parameters) {
      const v = typed(values[p.name], p.type);
      if (v !== undefined) body[p.name] = v;
      else if (p.type === "boolean" && p.required) body[p.name] = false;
    }
    setBusy(true);
    try {
      await api.command(device.id, command.name, body);
      setProblem(null);
      toast(`Command ${command.name} sent to ${device.id}`, requests.command(device.id, command.name, body));
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  const fault = (p) => problem?.field?.(p) || problem?.field?.(`parameters.${p}`);
  return html`<section class="card" aria-labelledby="commands"><h2 id="commands">Send a command</h2>
    <form class="stack" onSubmit=${send} noValidate>
      <${Select} label="Command" value=${command.name} onInput=${setName} options=${commands.map((c) => c.name)}
        hint=${command.description} />
      ${parameters.map((p) => html`<${Parameter} key=${`${command.name}.${p.name}`} parameter=${p} value=${values[p.name]}
        onInput=${(v) => setValues({ ...values, [p.name]: v })} fault=${fault(p.name)} />`)}
      <${ProblemBox} problem=${problem} known=${parameters.flatMap((p) => [p.name, `parameters.${p.name}`])} />
      <div><button class="primary" disabled=${busy}>${busy ? "Sending…" : "Send"}</button></div>
    </form>
  </section>`;
}

function Facts({ device: d, metrics: m = {} }) {
  return html`<section class="card live" aria-labelledby="facts"><h2 id="facts">Facts</h2><dl class="facts">
    <dt>Connection</dt><dd>${d.connectionState || format.DASH}</dd>
    <dt>Group</dt><dd>${d.groupId ? html`<a href=${`#/groups/${encodeURIComponent(d.groupId)}`}>${d.groupId}</a>` : format.DASH}</dd>
    <dt>Model</dt><dd><a href=${`#/models/${encodeURIComponent(d.modelId)}`}>${d.modelId}</a></dd>
    <dt>Created</dt><dd>${format.dateTime(d.createdAt)}</dd>
    <dt>Started</dt><dd>${format.dateTime(d.startedAt)}</dd>
    <dt>Last value</dt><dd>${format.dateTime(d.lastTelemetryAt)}</dd>
    <dt>Messages sent</dt><dd>${format.count(m.messagesSent)}</dd>
    <dt>Received</dt><dd>${format.count(m.messagesReceived)}</dd>
    <dt>Bytes sent</dt><dd>${format.bytes(m.bytesSent)}</dd>
    <dt>Connections</dt><dd>${format.count(m.connectionCount)}</dd>
    <dt>Errors</dt><dd>${format.count(m.errorCount)}</dd>
  </dl></section>`;
}

function useDevice(id) {
  const load = async () => {
    const [device, metrics] = await Promise.all([api.device(id), api.deviceMetrics(id).catch(() => undefined)]);
    return { device, metrics };
  };
  const [result, problem, reload] = useLoad(load, [id], 1000);
  useEffect(() => onStates((devices) => devices.some((d) => d.id === id) && reload()), [id]);
  return [result, problem, reload];
}

export function Device({ id }) {
  const [result, problem, reload] = useDevice(id);
  const device = result?.device;
  const [model] = useLoad(() => (device ? api.model(device.modelId) : Promise.resolve(undefined)), [device?.modelId]);
  const trail = useTrail(result?.metrics);
  const [failed, setFailed] = useState(null);
  const [busy, setBusy] = useState("");
  const [removing, setRemoving] = useState(false);
  const act = (name, call) => async () => {
    setBusy(name);
    setFailed(null);
    try {
      const answer = await api[call](id);
      toast(`${id} is ${answer?.status ?? name}`, requests[call](id));
    } catch (error) {
      setFailed(error);
    }
    setBusy("");
    reload();
  };
  const status = device?.status;
  const remove = async () => {
    await api.deleteDevice(id);
    toast(`Device ${id} deleted`, requests.deleteDevice(id));
    setRemoving(false);
    location.hash = "#/devices";
  };
  return html`
    <${Head} title=${id} before=${html`<a href="#/devices">Devices</a><span class="muted" aria-hidden="true">/</span>`}
      actions=${device && html`
        <button type="button" class="primary" disabled=${busy !== "" || ["running", "starting"].includes(status)}
          onClick=${act("start", "startDevice")}>${busy === "start" ? "Starting…" : "Start"}</button>
        <button type="button" disabled=${busy !== "" || ["created", "stopped", "stopping"].includes(status)}
          onClick=${act("stop", "stopDevice")}>${busy === "stop" ? "Stopping…" : "Stop"}</button>
        <button type="button" class="quiet danger" onClick=${() => setRemoving(true)}>Delete</button>`} />
    <div class="stack">
      <${ProblemBox} problem=${failed} />
      <${ProblemBox} problem=${problem?.status ? problem : null} />
      ${device
        ? html`<div class="row live" aria-label="State"><${State} status=${status} />
            ${device.errorMessage ? html`<span class="problem">${device.errorMessage}</span>` : null}</div>
          <div class="with-aside">
            <div class="stack">
              <${Values} model=${model} metrics=${result.metrics} trail=${trail} />
              ${["created", "stopped"].includes(status)
                ? html`<p class="muted">The device is not running: start it to see its values move.</p>` : null}
            </div>
            <div class="stack">
              ${model?.commands?.length ? html`<${Commands} key=${model.id} device=${device} commands=${model.commands} />` : null}
              <${Facts} device=${device} metrics=${result.metrics} />
            </div>
          </div>`
        : null}
    </div>
    ${removing ? html`<${Confirm} title=${`Delete ${id}?`} onClose=${() => setRemoving(false)} onSubmit=${remove}
      request=${requests.deleteDevice(id)}>
      The device goes for good${["running", "starting"].includes(status) ? "; it stops first" : ""}.<//>` : null}`;
}
