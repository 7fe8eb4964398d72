// One model as JSON: every fault is shown where it is while one types, before anything is saved.
import { html, useEffect, useRef, useState } from "../../vendor/preact.js";
import { api } from "../api.js";
import { Editor } from "../editor.js";
import * as format from "../format.js";
import { lineOf, locate } from "../json.js";
import { read, toast, update } from "../store.js";
import { Head, ProblemBox, useLoad, useSettled } from "../ui.js";
import { Remove } from "./models.js";

const TEMPLATE = {
  id: "my-sensor-v1",
  name: "My sensor",
  type: "sensor",
  protocol: "mqtt",
  connection: { topicPattern: "devices/${deviceId}/telemetry", qos: 1 },
  telemetry: [
    {
      name: "temperature",
      type: "number",
      unit: "celsius",
      intervalMs: 1000,
      generator: { type: "random", distribution: "normal", min: 15, max: 30, mean: 21, stddev: 2 },
    },
  ],
};

const pretty = (model) => JSON.stringify(model, null, 2);

/** What the server says of the text: {faults with lines, warnings, general problem}. */
function useCheck(text) {
  const settled = useSettled(text, 300);
  const [answer, setAnswer] = useState({ text: null });
  const place = locate(text);
  useEffect(() => {
    if (!settled || locate(settled).fault) return undefined;
    let current = true;
    const done = (more) => current && setAnswer({ text: settled, errors: [], warnings: [], ...more });
    api.checkModel(settled).then(
      (r) => done({ warnings: r?.warnings || [] }),
      (problem) => done(problem.errors.length ? { errors: problem.errors } : { problem }),
    );
    return () => {
      current = false;
    };
  }, [settled]);
  if (place.fault) return { faults: [{ ...place.fault, path: "" }], warnings: [], sure: true };
  const placed = (list, warning) => (list || []).map((e) => ({ ...e, warning, line: lineIn(place.lines, e) }))
    .sort((a, b) => a.line - b.line);
  return { faults: placed(answer.errors), warnings: placed(answer.warnings, true), problem: answer.problem,
    sure: answer.text === text };
}

/** By the path; a fault of the text itself names its line in words. */
function lineIn(lines, { path, message }) {
  const named = path ? null : /\bline (\d+)/.exec(message);
  return named ? Number(named[1]) - 1 : lineOf(lines, path);
}

const Messages = ({ list, goTo }) => html`<ul class="faults">${list.map((f) => html`<li key=${`${f.path}${f.message}`}
  class=${f.warning ? "warn" : ""}><button type="button" onClick=${() => goTo(f.line)}>
    <b>Line ${f.line + 1}${f.path ? `, ${f.path}` : ""}</b><br />${f.message}</button></li>`)}</ul>`;

function Faults({ id, check, goTo }) {
  const { faults, warnings, sure } = check;
  let words = "Checking…";
  if (sure) words = [format.plural(faults.length, "fault"), warnings.length ? format.plural(warnings.length, "warning") : null]
    .filter(Boolean).join(", ").replace(/^0 faults/, "No faults");
  return html`<section class="card" aria-labelledby=${id}><h2 id=${id} aria-live="polite">${words}</h2>
    <div class="stack tight">
      ${faults.length ? html`<${Messages} list=${faults} goTo=${goTo} />` : null}
      ${warnings.length ? html`<${Messages} list=${warnings} goTo=${goTo} />` : null}
      ${sure && !faults.length ? html`<${Meaning} text=${check.text} />` : null}
      <${ProblemBox} problem=${check.problem} />
    </div>
  </section>`;
}

/** What devices of this model will do, in words. */
function Meaning({ text }) {
  let model;
  try {
    model = JSON.parse(text);
  } catch {
    return null;
  }
  const c = model.connection || {};
  const where = c.topicPattern || c.path || c.resourcePath;
  return html`<p>Each device speaks ${String(model.protocol).toUpperCase()}${where ? html` and publishes to <code>${where}</code>` : null}:</p>
    <ul class="plain-list">${(model.telemetry || []).map((t) => html`<li key=${t.name}>
      <b>${t.name}</b>${t.unit ? ` in ${t.unit}` : ""}, every ${format.duration(t.intervalMs || 1000)}</li>`)}</ul>`;
}

/** What was written and not saved, by the address of its model: going elsewhere on the page loses nothing. */
const drafts = new Map();

export function ModelEditor({ id, query }) {
  const isNew = id === "new";
  const [loaded, problem] = useLoad(() => (isNew ? (query.from ? api.model(query.from) : Promise.resolve(TEMPLATE)) : api.model(id)), [id, query.from]);
  const [text, setText] = useState("");
  const [begun, setBegun] = useState(false);
  const [old, setOld] = useState(null); // what a draft is in place of
  const [saved, setSaved] = useState("");
  const [failed, setFailed] = useState(null);
  const [busy, setBusy] = useState(false);
  const [removing, setRemoving] = useState(false);
  const actions = useRef({}).current;
  const check = { ...useCheck(text), text };
  useEffect(() => {
    if (!loaded || begun) return; // never over what somebody is writing
    setBegun(true);
    const first = pretty(isNew && query.from ? { ...loaded, id: `${loaded.id}-copy`, name: `${loaded.name || loaded.id} copy` } : loaded);
    const draft = drafts.get(location.hash);
    setText(draft ?? first);
    setOld(draft === undefined ? null : first);
    setSaved(isNew ? "" : first);
  }, [loaded]);
  const write = (next) => {
    setText(next);
    drafts.set(location.hash, next);
  };
  const discard = () => {
    drafts.delete(location.hash);
    setText(old);
    setOld(null);
  };
  const save = async () => {
    setBusy(true);
    setFailed(null);
    try {
      const model = isNew ? await api.addModel(text) : await api.replaceModel(id, text);
      const real = model?.id || JSON.parse(text).id;
      toast(isNew ? `Model ${real} added` : `Model ${real} saved: devices take it at their next start`);
      drafts.delete(location.hash);
      setOld(null);
      setSaved(text);
      update({ modelsChanged: read().modelsChanged + 1 });
      if (isNew) location.hash = `#/models/${encodeURIComponent(real)}`;
    } catch (error) {
      setFailed(error);
    }
    setBusy(false);
  };
  const warn = text !== saved && text !== "" && !isNew;
  useEffect(() => {
    if (!warn) return undefined;
    const ask = (e) => e.preventDefault();
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, [warn]);
  const ready = text && check.sure && !check.faults.length;
  return html`
    <${Head} title=${isNew ? "New model" : loaded?.name || id}
      before=${html`<a href="#/models">Models</a><span class="muted" aria-hidden="true">/</span>`}
      actions=${html`
        ${isNew ? null : html`<a class="button" href=${`#/groups?new=1&model=${encodeURIComponent(id)}`}>New group of it</a>
          <a class="button" href=${`#/models/new?from=${encodeURIComponent(id)}`}>Copy</a>
          <button type="button" class="quiet danger" onClick=${() => setRemoving(true)}>Delete</button>`}
        <button type="button" class="primary" disabled=${busy || !ready || text === saved} onClick=${save}>
          ${busy ? "Saving…" : isNew ? "Add model" : "Save"}</button>`} />
    <div class="stack">
      <${ProblemBox} problem=${failed} />
      <${ProblemBox} problem=${problem?.status ? problem : null} />
      ${old !== null ? html`<p class="note-box row spread" role="status"><span>What you had written and not saved is back.</span>
        <button type="button" class="small" onClick=${discard}>Discard it</button></p>` : null}
      ${begun
        ? html`<div class="with-aside">
            <${Editor} text=${text} onInput=${write} faults=${[...check.faults, ...check.warnings]} label="Model as JSON" describedBy="faults"
              actions=${actions} />
            <${Faults} id="faults" check=${check} goTo=${(line) => actions.goTo(line)} />
          </div>`
        : null}
    </div>
    ${removing ? html`<${Remove} model=${{ id }} onClose=${() => setRemoving(false)} />` : null}`;
}
