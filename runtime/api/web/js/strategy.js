// Choosing a launch or dropout strategy: cards to choose from, fields made from its settings, and its curve before
// anything is done.
import { html, useEffect, useState } from "../vendor/preact.js";
import { api } from "./api.js";
import { Chart } from "./chart.js";
import * as format from "./format.js";
import { Field, ProblemBox, useId, useSettled } from "./ui.js";

const NAMES = {
  delayMs: "Delay (ms)", batchSize: "Batch size", maxDelayMs: "Longest delay (ms)", exponentBase: "Factor",
  durationMs: "Duration (ms)", rate: "Devices per second", stages: "Stages",
};
const CURVE = [{ label: "devices", colour: "--line-a", fill: true, steps: true }];

/** What people most likely want: the defaults of strategies are to be safe, not to be useful. */
const SUGGESTED = {
  launch: { linear: { delayMs: 10 }, batch: { batchSize: 100, delayMs: 500 },
    exponential: { delayMs: 100, exponentBase: 1.5, maxDelayMs: 1000 }, poisson: { rate: 100 },
    stages: { stages: [{ duration: "10s", target: "20%" }, { duration: "20s", target: "100%" }] } },
  dropout: { linear: { delayMs: 10 }, exponential: { delayMs: 1000, exponentBase: 1.5 }, random: { durationMs: 10000 } },
};

/** The launch that suits so many devices: a strategy and its settings, as `iotix plan` recommends them. */
export function recommended(count) {
  if (count <= 100) return { name: "immediate", settings: {} };
  if (count <= 1000) return { name: "linear", settings: { delayMs: 10 } };
  const [batchSize, delayMs] = count <= 10000 ? [100, 500] : count <= 100000 ? [500, 1000] : [1000, 2000];
  return { name: "batch", settings: { batchSize, delayMs } };
}

/** Text of an input → value of that type, or undefined when it is empty. A number that is none stays a text. */
export function typed(text, type) {
  if (text === "" || text === undefined || text === null) return undefined;
  if (!/number|integer/.test(type) || typeof text !== "string") return text;
  const plain = text.trim();
  const number = Number(/^\d{1,3}([, _]\d{3})+$/.test(plain) ? plain.replace(/[, _]/g, "") : plain); // 1,000 is a thousand
  return Number.isFinite(number) ? number : text;
}

const ORDER = ["immediate", "linear", "batch", "exponential", "poisson", "random", "stages"];

/** From the simple to the elaborate, people's own ones last. */
const sorted = (list) => [...list].sort((a, b) => (ORDER.indexOf(a.name) + 99) % 99 - (ORDER.indexOf(b.name) + 99) % 99 ||
  a.name.localeCompare(b.name));

/**
 * Hook: the strategies of a kind ("launch", "dropout"), the chosen one, its settings as the API takes them. `first`:
 * the one to begin with, {name, settings}; `advised`: it is marked as recommended.
 */
export function useStrategy(kind, first, advised) {
  const [list, setList] = useState(null);
  const [problem, setProblem] = useState(null);
  const [name, setName] = useState(first.name);
  const [suggested] = useState(first);
  const [values, setValues] = useState({});
  useEffect(() => {
    api.strategies().then((all) => setList(sorted(all[kind] || [])), setProblem);
  }, []);
  const chosen = list?.find((s) => s.name === name) || null;
  const settings = chosen?.settings || [];
  const mine = { ...Object.fromEntries(settings.map((s) => [s.name, s.default])), ...SUGGESTED[kind][name],
    ...(name === suggested.name ? suggested.settings : {}), ...values[name] };
  const body = { strategy: name };
  for (const s of settings) {
    const v = typed(mine[s.name], s.type);
    if (v !== undefined) body[s.name] = v;
  }
  return {
    kind, list, problem, name, setName, advised: advised ? suggested.name : null, settings, values: mine, body,
    set: (setting, v) => setValues({ ...values, [name]: { ...values[name], [setting]: v } }),
  };
}

/** Hook: the curve of a strategy for `count` devices: {points, durationMs} or a Problem. */
export function usePreview(strategy, count) {
  const [preview, setPreview] = useState({});
  const asked = useSettled(strategy.list ? { kind: strategy.kind, ...strategy.body, count } : null, 200);
  useEffect(() => {
    if (!asked || !(asked.count > 0)) {
      setPreview({});
      return undefined;
    }
    let current = true;
    api.preview(asked).then(
      (p) => current && setPreview({ points: p.points, durationMs: p.durationMs, count: asked.count }),
      (problem) => current && setPreview({ problem }), // no curve rather than that of before
    );
    return () => {
      current = false;
    };
  }, [JSON.stringify(asked)]);
  return preview;
}

function Stages({ setting, value, onInput, fault }) {
  const rows = Array.isArray(value) ? value : [];
  const change = (i, changes) => onInput(rows.map((r, k) => (k === i ? { ...r, ...changes } : r)));
  const target = (text) => (/^\d+$/.test(text.trim()) ? Number(text) : text);
  const id = useId();
  return html`<fieldset class="field full" aria-describedby=${fault ? id : undefined}>
    <legend>${NAMES[setting.name] || setting.name}</legend>
    <span class="hint">Within each duration the number of started devices grows to its target: a number, or a share
      such as 50%.</span>
    <div class="stages">
      ${rows.map((r, i) => html`<div class="row" key=${i}>
        <input aria-label=${`Stage ${i + 1}: duration`} placeholder="30s" value=${r.duration}
          onInput=${(e) => change(i, { duration: e.target.value })} />
        <span class="muted">to</span>
        <input aria-label=${`Stage ${i + 1}: target`} placeholder="100%" value=${r.target}
          onInput=${(e) => change(i, { target: target(e.target.value) })} />
        <button type="button" class="small quiet" aria-label=${`Remove stage ${i + 1}`} disabled=${rows.length < 2}
          onClick=${() => onInput(rows.filter((_, k) => k !== i))}>Remove</button>
      </div>`)}
      <div><button type="button" class="small" onClick=${() => onInput([...rows, { duration: "10s", target: "100%" }])}>
        Add a stage</button></div>
    </div>
    ${fault && html`<span class="fault" id=${id}>${fault}</span>`}
  </fieldset>`;
}

/** A list that no editor is made for: as JSON. */
function List({ setting, value, onInput, fault }) {
  const [text, setText] = useState(JSON.stringify(value ?? []));
  const [wrong, setWrong] = useState(null);
  const take = (t) => {
    setText(t);
    try {
      onInput(JSON.parse(t));
      setWrong(null);
    } catch (error) {
      setWrong(error.message);
    }
  };
  return html`<${Field} full label=${setting.name} hint=${setting.description} fault=${wrong || fault} value=${text}
    onInput=${take} />`;
}

function Setting({ setting, value, onInput, fault }) {
  const props = { setting, value, onInput, fault };
  if (setting.name === "stages") return html`<${Stages} ...${props} />`;
  if (setting.type === "list") return html`<${List} ...${props} />`;
  const label = NAMES[setting.name] || setting.name;
  if (setting.type === "boolean") {
    return html`<${Field} type="checkbox" label=${label} hint=${setting.description} value=${value} fault=${fault}
      onInput=${onInput} />`;
  }
  const numeric = /number|integer/.test(setting.type);
  return html`<${Field} label=${label} hint=${setting.description} value=${value} fault=${fault} onInput=${onInput}
    inputMode=${numeric ? "decimal" : undefined} />`;
}

/** A message at a field needs not say which field of which strategy. */
const plainly = (message) => message?.replace(/^\w+ strategy "[^"]+": "[^"]+" /, "");

/** Cards and fields. `problem`: the answer to the command, whose messages belong to these fields. */
export function StrategyForm({ strategy, preview, problem }) {
  const group = useId();
  const fault = (name) => plainly(problem?.field?.(name) || preview.problem?.field?.(name));
  if (strategy.problem) return html`<${ProblemBox} problem=${strategy.problem} />`;
  return html`
    <fieldset>
      <legend>Strategy</legend>
      <div class="choices">
        ${(strategy.list || []).map((s) => html`<label class="choice" key=${s.name}>
          <input type="radio" name=${group} value=${s.name} checked=${s.name === strategy.name}
            data-first=${s.name === strategy.name ? "" : undefined} onChange=${() => strategy.setName(s.name)} />
          <b>${s.name}</b>
          ${s.name === strategy.advised ? html`<small class="advice">recommended</small>` : null}
          ${s.description ? html`<small>${brief(s.description)}</small>` : null}
        </label>`)}
      </div>
    </fieldset>
    ${strategy.settings.length
      ? html`<div class="fields">
          ${strategy.settings.map((s) => html`<${Setting} key=${`${strategy.name}.${s.name}`} setting=${s}
            value=${strategy.values[s.name]} onInput=${(v) => strategy.set(s.name, v)} fault=${fault(s.name)} />`)}
        </div>`
      : null}`;
}

/** The first sentence, without the formula behind it. */
function brief(text) {
  const first = text.split(/[.:]\s|:\s*at\(k\)/)[0].replace(/\.$/, "");
  return first.charAt(0).toUpperCase() + first.slice(1);
}

/** The curve of what will happen, with the answer to "how long, how fast". */
export function Preview({ strategy, preview, what, count }) {
  const known = strategy.settings.map((s) => s.name);
  const points = preview.points || [];
  const atOnce = points.length > 0 && !(preview.durationMs > 0);
  const x = atOnce || points.length < 2 ? [0, 1] : points.map((p) => p.tMs / 1000);
  const y = atOnce ? [preview.count, preview.count] : points.length < 2 ? [null, null] : points.map((p) => p.count);
  let words = count > 0 ? "Working out the curve…" : "No device to show a curve for.";
  if (preview.problem) words = preview.problem.errors?.length ? "See the message at the setting." : "";
  else if (points.length) {
    const s = preview.durationMs / 1000;
    words = s > 0
      ? `${format.plural(preview.count, "device")} ${what} within ${format.duration(preview.durationMs)}, ` +
        `${format.rate(preview.count / s)} a second on average.`
      : `${format.plural(preview.count, "device")} ${what} at once.`;
  }
  const general = preview.problem && !known.some((name) => preview.problem.field?.(name));
  return html`<div class="stack tight">
    <${Chart} title=${`Devices ${what} over time`} series=${CURVE} x=${x} columns=${[y]} height=${150} summary=${words}
      xAxis=${{ time: false, values: (u, ticks) => ticks.map((t) => (t < 0 ? "" : `${format.axis(t)} s`)) }} />
    <p class="muted" aria-live="polite">${words}</p>
    ${general ? html`<${ProblemBox} problem=${preview.problem} known=${known} />` : null}
  </div>`;
}
