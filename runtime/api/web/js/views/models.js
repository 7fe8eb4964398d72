// The models that devices can be made of.
import { html, useState } from "../../vendor/preact.js";
import { api, requests } from "../api.js";
import * as format from "../format.js";
import { read, toast, update, useStore } from "../store.js";
import { Confirm, Empty, Field, Head, Icon, ProblemBox, useLoad } from "../ui.js";

const address = (id) => `#/models/${encodeURIComponent(id)}`;

/** Messages a second of one device, as its intervals say. */
function pace(model) {
  const streams = model.telemetry || [];
  const all = streams.reduce((sum, t) => sum + 1000 / (t.intervalMs || 1000), 0);
  return streams.length ? `${format.rate(all)}/s` : format.DASH;
}

export function Remove({ model, onClose }) {
  const send = async () => {
    await api.deleteModel(model.id);
    toast(`Model ${model.id} deleted`, requests.deleteModel(model.id));
    onClose();
    update({ modelsChanged: read().modelsChanged + 1 });
    if (location.hash !== "#/models") location.hash = "#/models";
  };
  return html`<${Confirm} title=${`Delete ${model.id}?`} onClose=${onClose} onSubmit=${send}
    request=${requests.deleteModel(model.id)}>
    A model can only go while no device uses it.<//>`;
}

const MANY = 10; // from so many on, one looks for them

const matches = (m, words) => [m.id, m.name, m.type, m.protocol, ...(m.telemetry || []).map((t) => t.name)]
  .some((text) => String(text ?? "").toLowerCase().includes(words));
const byId = (a, b) => a.id.localeCompare(b.id, undefined, { numeric: true });

function Row({ model, onRemove }) {
  return html`<tr>
    <td class="title"><a class="id" href=${address(model.id)}>${model.name || model.id}</a><br />
      <small><code>${model.id}</code></small></td>
    <td class="kind" data-label="Kind"><span class="tag">${model.type}</span> <span class="tag">${model.protocol}</span></td>
    <td data-label="Values">${(model.telemetry || []).map((t) => t.name).join(", ") || format.DASH}</td>
    <td class="n" data-label="Messages of a device">${pace(model)}</td>
    <td class="n" data-label="Commands">${format.count((model.commands || []).length)}</td>
    <td class="acts"><div class="row">
      <a class="button small" href=${address(model.id)} aria-label=${`Edit ${model.id}`}>Edit</a>
      <a class="button small" href=${`#/models/new?from=${encodeURIComponent(model.id)}`}
        aria-label=${`Copy ${model.id}`}>Copy</a>
      <button type="button" class="small quiet danger" aria-label=${`Delete ${model.id}`}
        onClick=${() => onRemove(model)}>Delete</button>
    </div></td>
  </tr>`;
}

export function Models() {
  const changed = useStore((s) => s.modelsChanged);
  const [models, problem] = useLoad(api.models, [changed]);
  const [removing, setRemoving] = useState(null);
  const [text, setText] = useState("");
  const words = text.trim().toLowerCase();
  const shown = (models || []).filter((m) => matches(m, words)).sort(byId);
  const add = html`<a class="button primary" href="#/models/new"><${Icon} name="plus" size=${18} />New model</a>`;
  return html`<${Head} title="Models" actions=${add} />
    <div class="stack">
      <${ProblemBox} problem=${problem?.status ? problem : null} />
      ${models && !models.length
        ? html`<${Empty} icon="models" title="No models yet" actions=${add}>A model is a piece of JSON: what a kind of
            device measures and how often, where it publishes, which commands it takes.<//>`
        : null}
      ${models?.length > MANY
        ? html`<div class="filters"><${Field} label="Containing" value=${text} onInput=${setText}
            placeholder="a name, a kind, a value" hint=${words ? `${format.count(shown.length)} of ${format.plural(models.length, "model")}` : undefined} /></div>`
        : null}
      ${models?.length && !shown.length ? html`<p class="muted">No model contains this.</p>` : null}
      ${shown.length
        ? html`<div class="card table"><table class="records">
            <thead><tr><th scope="col">Model</th><th scope="col">Kind</th><th scope="col">Values</th>
              <th scope="col" class="n">Messages of a device</th><th scope="col" class="n">Commands</th>
              <th scope="col"><span class="visually-hidden">Actions</span></th></tr></thead>
            <tbody>${shown.map((m) => html`<${Row} key=${m.id} model=${m} onRemove=${setRemoving} />`)}</tbody>
          </table></div>`
        : null}
    </div>
    ${removing ? html`<${Remove} model=${removing} onClose=${() => setRemoving(null)} />` : null}`;
}
