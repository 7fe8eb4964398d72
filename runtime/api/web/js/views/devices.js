// All devices: filtered and paged by the server, so that a million of them are as easy as ten.
import { html, useEffect, useRef, useState } from "../../vendor/preact.js";
import { api, requests } from "../api.js";
import { onStates } from "../events.js";
import * as format from "../format.js";
import { STATES, toast } from "../store.js";
import { AsCurl, Dialog, Empty, Field, Head, Icon, ProblemBox, Select, State, useLoad } from "../ui.js";

const SIZES = [25, 50, 100, 200, 500, 1000];

/** The filter is in the address: it can be bookmarked, and the back button works. */
function go(query, changes) {
  const next = { ...query, ...changes };
  const q = new URLSearchParams(Object.entries(next).filter(([name, v]) => v && !(name === "page" && Number(v) === 1)));
  const text = q.toString();
  location.hash = `#/devices${text ? `?${text}` : ""}`;
}

function Add({ onClose, groups }) {
  const [models, problem] = useLoad(api.models);
  const [form, setForm] = useState({ modelId: "", deviceId: "", groupId: "" });
  const set = (name) => (value) => setForm({ ...form, [name]: value });
  const body = { modelId: form.modelId || models?.[0]?.id };
  if (form.deviceId) body.deviceId = form.deviceId.trim();
  if (form.groupId) body.groupId = form.groupId;
  const send = async () => {
    const device = await api.addDevice(body);
    toast(`Device ${device.id} created`, requests.addDevice(body));
    onClose();
    location.hash = `#/devices/${encodeURIComponent(device.id)}`;
  };
  return html`<${Dialog} narrow title="New device" submit="Create" known=${["modelId", "deviceId", "groupId"]}
    onClose=${onClose} onSubmit=${send} disabled=${!models?.length}>
    ${(answer) => html`
      <${ProblemBox} problem=${problem} />
      <${Select} label="Model" value=${form.modelId || models?.[0]?.id} onInput=${set("modelId")}
        fault=${answer?.field?.("modelId")} options=${(models || []).map((m) => [m.id, m.name || m.id])} />
      <${Field} label="Device id" value=${form.deviceId} onInput=${set("deviceId")} placeholder="made for you"
        fault=${answer?.field?.("deviceId")} hint="Optional" />
      <${Select} label="Group" value=${form.groupId} onInput=${set("groupId")} fault=${answer?.field?.("groupId")}
        options=${[["", "none"], ...groups.map((g) => g.groupId)]} />
      <${AsCurl} request=${requests.addDevice(body)} />`}
  <//>`;
}

function Row({ device: d }) {
  return html`<tr>
    <td class="title"><a class="id" href=${`#/devices/${encodeURIComponent(d.id)}`}>${d.id}</a></td>
    <td class="live" data-label="State"><span title=${d.errorMessage || undefined}><${State} status=${d.status} /></span></td>
    <td class="live link" data-label="Connection">${d.connectionState || format.DASH}</td>
    <td data-label="Group">${d.groupId
      ? html`<a href=${`#/groups/${encodeURIComponent(d.groupId)}`}>${d.groupId}</a>` : format.DASH}</td>
    <td data-label="Model"><a href=${`#/models/${encodeURIComponent(d.modelId)}`}>${d.modelId}</a></td>
    <td data-label="Last value" class="n">${format.time(d.lastTelemetryAt)}</td>
  </tr>`;
}

function Pager({ result, query, page, size }) {
  const pages = Math.max(1, Math.ceil(result.total / size));
  const [text, setText] = useState(String(page));
  useEffect(() => setText(String(page)), [page]);
  const jump = (e) => {
    e.preventDefault();
    const wanted = Math.min(pages, Math.max(1, Math.round(Number(text)) || 1));
    setText(String(wanted));
    go(query, { page: wanted });
  };
  return html`<form class="pager" onSubmit=${jump}>
    <span class="muted" role="status">${result.total
      ? `${format.count((page - 1) * size + 1)} to ${format.count(Math.min(page * size, result.total))} of ${format.count(result.total)}`
      : "none"}</span>
    <button type="button" class="small" disabled=${page <= 1} onClick=${() => go(query, { page: page - 1 })}>Previous</button>
    <label class="row">Page <input inputMode="numeric" value=${text} onInput=${(e) => setText(e.target.value)} /></label>
    <span class="muted">of ${format.count(pages)}</span>
    <button type="button" class="small" disabled=${page >= pages} onClick=${() => go(query, { page: page + 1 })}>Next</button>
  </form>`;
}

/** Rows follow the event stream; lists that a change may have turned over are asked for again, once in 2 s. */
function useDevices(query, page, size) {
  const { status, groupId, modelId, search } = query;
  const filter = { status, groupId, modelId, search, page, pageSize: size };
  const [result, problem, reload] = useLoad(() => api.devices(filter), [JSON.stringify(filter)], 5000);
  const [, draw] = useState(0);
  const shown = useRef(new Map());
  shown.current = new Map((result?.items || []).map((d) => [d.id, d]));
  useEffect(() => {
    let timer = 0;
    const stop = onStates((devices, more) => {
      let hit = false;
      for (const change of devices) {
        const row = shown.current.get(change.id);
        if (row) {
          Object.assign(row, { status: change.status, connectionState: change.connectionState ?? row.connectionState });
          hit = true;
        }
      }
      if (hit) draw((n) => n + 1);
      if ((status || more || hit) && !timer) {
        timer = setTimeout(() => {
          timer = 0;
          reload();
        }, 2000);
      }
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [JSON.stringify(filter)]);
  return [result, problem];
}

export function Devices({ query }) {
  const page = Math.max(1, Number(query.page) || 1);
  const size = SIZES.includes(Number(query.pageSize)) ? Number(query.pageSize) : 50;
  const [groups] = useLoad(api.groups);
  const [models] = useLoad(api.models);
  const [result, problem] = useDevices(query, page, size);
  const [adding, setAdding] = useState(false);
  const [id, setId] = useState("");
  const filtered = query.status || query.groupId || query.modelId;
  const filter = (name) => (value) => go(query, { [name]: value, page: undefined });
  const find = (e) => {
    e.preventDefault();
    if (id.trim()) location.hash = `#/devices/${encodeURIComponent(id.trim())}`;
  };
  const add = html`<button type="button" onClick=${() => setAdding(true)}><${Icon} name="plus" size=${18} />New device</button>`;
  return html`
    <${Head} title="Devices" actions=${add} />
    <div class="filters">
      <${Select} label="State" value=${query.status || ""} onInput=${filter("status")} options=${[["", "any"], ...STATES]} />
      <${Select} label="Group" value=${query.groupId || ""} onInput=${filter("groupId")}
        options=${[["", "any"], ...choices(groups?.map((g) => g.groupId), query.groupId)]} />
      <${Select} label="Model" value=${query.modelId || ""} onInput=${filter("modelId")}
        options=${[["", "any"], ...choices(models?.map((m) => m.id), query.modelId)]} />
      <${Select} label="On a page" value=${String(size)} onInput=${filter("pageSize")} options=${SIZES.map(String)} />
      <form class="field" onSubmit=${find}>
        <label for="find">Open by id</label>
        <div class="row"><input id="find" value=${id} onInput=${(e) => setId(e.target.value)} placeholder="device id"
          autocomplete="off" spellcheck=${false} /><button>Open</button></div>
      </form>
    </div>
    <div class="stack">
      <${ProblemBox} problem=${problem?.status ? problem : null} />
      ${result && !result.total
        ? filtered
          ? html`<${Empty} icon="devices" title="No such devices" actions=${html`<a class="button" href="#/devices">
              Show all</a>`}>No device matches this filter right now.<//>`
          : html`<${Empty} icon="devices" title="No devices yet" actions=${html`<a class="button primary"
              href="#/groups?new=1">Create a group</a>${add}`}>Devices are made in groups, or one at a time. Each plays a
              model: it connects, publishes, and takes commands.<//>`
        : null}
      ${result?.total && !result.items.length
        ? html`<${Empty} icon="devices" title=${`There is no page ${format.count(page)}`} actions=${html`<button type="button"
            class="primary" onClick=${() => go(query, { page: Math.ceil(result.total / size) })}>To the last page</button>`}>
            The list has ${format.plural(result.total, "device")}, ${format.count(size)} on a page.<//>`
        : null}
      ${result?.items.length
        ? html`<div class="card table"><table class="records">
            <thead><tr><th scope="col">Device</th><th scope="col">State</th><th scope="col">Connection</th>
              <th scope="col">Group</th><th scope="col">Model</th><th scope="col" class="n">Last value</th></tr></thead>
            <tbody>${result.items.map((d) => html`<${Row} key=${d.id} device=${d} />`)}</tbody>
          </table>
          <${Pager} result=${result} query=${query} page=${page} size=${size} /></div>`
        : null}
    </div>
    ${adding ? html`<${Add} groups=${groups || []} onClose=${() => setAdding(false)} />` : null}`;
}

/** What can be chosen, with what is chosen among it even where the list does not have it. */
const choices = (list = [], chosen) => (chosen && !list.includes(chosen) ? [chosen, ...list] : list);
