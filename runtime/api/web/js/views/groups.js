// Groups: create from a model, start with a strategy, stop, drop out, delete; the progress of what is running.
import { html, useEffect, useRef, useState } from "../../vendor/preact.js";
import { api, requests } from "../api.js";
import { Chart } from "../chart.js";
import * as format from "../format.js";
import { KEPT_S, merge } from "../history.js";
import { Preview, recommended, StrategyForm, typed, usePreview, useStrategy } from "../strategy.js";
import { range } from "../timeline.js";
import { TimeControls } from "../timecontrols.js";
import { read, STATES, toast, update, useStore } from "../store.js";
import { AsCurl, Confirm, Dialog, Empty, Field, Head, Icon, ProblemBox, Progress, Select, State, StateBar, useLoad } from "../ui.js";

const address = (id) => `#/groups/${encodeURIComponent(id)}`;
const sizeOf = (group) => group.deviceCount ?? group.count ?? 0;
const statesOf = (group) => group.byStatus || group.counts || {};
const idle = (group) => {
  const by = statesOf(group);
  return (by.created || 0) + (by.stopped || 0) + (by.error || 0) + (by.dropped || 0);
};
const busy = (group) => sizeOf(group) - (statesOf(group).created || 0) - (statesOf(group).stopped || 0);

/** The operation that is running: from the event stream where that is newer than the list. */
function operationOf(group, operations) {
  const heard = operations.get(group.groupId);
  const now = heard && Date.now() - heard.at < 3000 ? heard : group.operation;
  return now?.status === "running" ? { ...now, operation: now.operation || now.kind, groupId: group.groupId } : null;
}

function Create({ onClose, model: first = "" }) {
  const [models, problem] = useLoad(api.models);
  const [form, setForm] = useState({ modelId: first, count: "100", groupId: "", idPattern: "" });
  const set = (name) => (value) => setForm({ ...form, [name]: value });
  const modelId = form.modelId || models?.[0]?.id || "";
  const model = models?.find((m) => m.id === modelId);
  const body = { modelId, count: typed(form.count, "integer") };
  if (form.groupId) body.groupId = form.groupId.trim();
  if (form.idPattern) body.idPattern = form.idPattern.trim();
  const send = async () => {
    const group = await api.addGroup(body);
    toast(`Group ${group.groupId} created: ${format.plural(group.deviceCount ?? body.count, "device")}`, requests.addGroup(body));
    onClose();
    update({ groupsChanged: read().groupsChanged + 1 });
    if (location.hash !== address(group.groupId)) location.hash = address(group.groupId);
  };
  const known = ["modelId", "count", "groupId", "idPattern"];
  return html`<${Dialog} title="New group" submit="Create" known=${known} onClose=${onClose} onSubmit=${send}
    disabled=${!models?.length}>
    ${(answer) => html`
      <${ProblemBox} problem=${problem} />
      ${models && !models.length
        ? html`<p>There is no model yet. <a href="#/models/new" onClick=${onClose}>Add one</a> first.</p>`
        : null}
      <div class="fields">
        <${Select} label="Model" full value=${modelId} onInput=${set("modelId")} fault=${answer?.field?.("modelId")}
          hint=${model ? `${model.description || model.name || ""}`.trim() : undefined}
          options=${(models || []).map((m) => [m.id, m.name ? `${m.name} (${m.id})` : m.id])} />
        <${Field} label="Number of devices" inputMode="numeric" value=${form.count} onInput=${set("count")}
          fault=${answer?.field?.("count")} hint="1 to 1,000,000" data-first="" />
        <${Field} label="Group id" value=${form.groupId} onInput=${set("groupId")} placeholder="made for you"
          fault=${answer?.field?.("groupId")} hint="Optional: letters, digits, - and _" />
        <${Field} label="Device ids" full value=${form.idPattern} onInput=${set("idPattern")}
          placeholder="{groupId}-{index}" fault=${answer?.field?.("idPattern")}
          hint="Optional: a pattern with {index} in it, which counts from 0" />
      </div>
      <${AsCurl} request=${requests.addGroup(body)} />`}
  <//>`;
}

function Start({ group, onClose }) {
  const waiting = idle(group) || sizeOf(group);
  const strategy = useStrategy("launch", recommended(waiting), true);
  const preview = usePreview(strategy, waiting);
  const send = async () => {
    const answer = await api.startGroup(group.groupId, strategy.body);
    toast(`${format.plural(answer?.devicesStarted ?? waiting, "device")} of ${group.groupId} on their way`,
      requests.startGroup(group.groupId, strategy.body));
    onClose();
  };
  return html`<${Dialog} title=${`Start ${group.groupId}`} submit="Start" onClose=${onClose} onSubmit=${send}
    known=${strategy.settings.map((s) => s.name)} disabled=${!strategy.list || !!preview.problem?.errors?.length}>
    ${(problem) => html`
      <${StrategyForm} strategy=${strategy} preview=${preview} problem=${problem} />
      <${Preview} strategy=${strategy} preview=${preview} what="started" count=${waiting} />
      <${AsCurl} request=${requests.startGroup(group.groupId, strategy.body)} />`}
  <//>`;
}

const MODES = [
  ["abort", "The connection breaks (wills fire)"],
  ["close", "They disconnect politely"],
  ["silent", "They fall silent, sockets stay"],
];

function Dropout({ group, onClose }) {
  const strategy = useStrategy("dropout", { name: "immediate", settings: {} });
  const [form, setForm] = useState({ by: "percentage", percentage: "50", count: "", reconnect: false,
    reconnectDelayMs: "5000", mode: "abort" });
  const set = (name) => (value) => setForm({ ...form, [name]: value });
  const there = statesOf(group).running || 0;
  const chosen = form.by === "count"
    ? Math.min(there, Math.floor(typed(form.count, "integer") || 0))
    : Math.floor((there * Math.min(100, typed(form.percentage, "number") || 0)) / 100);
  const preview = usePreview(strategy, Number.isFinite(chosen) ? chosen : 0);
  const body = { ...strategy.body, mode: form.mode, reconnect: form.reconnect };
  body[form.by] = typed(form[form.by], "number");
  if (form.reconnect) body.reconnectDelayMs = typed(form.reconnectDelayMs, "number");
  const send = async () => {
    const answer = await api.dropout(group.groupId, body);
    toast(`${format.plural(answer?.devicesAffected ?? chosen, "device")} of ${group.groupId} will drop out`,
      requests.dropout(group.groupId, body));
    onClose();
  };
  const known = ["percentage", "count", "reconnect", "reconnectDelayMs", "mode", ...strategy.settings.map((s) => s.name)];
  return html`<${Dialog} title=${`Drop devices of ${group.groupId} out`} submit=${`Drop ${format.plural(chosen, "device")}`}
    danger known=${known} onClose=${onClose} onSubmit=${send}
    disabled=${!strategy.list || !(chosen > 0) || !!preview.problem?.errors?.length}>
    ${(problem) => html`
      <div class="fields">
        <${Select} label="How many" value=${form.by} onInput=${set("by")}
          options=${[["percentage", "A share of the running ones"], ["count", "A number of devices"]]} />
        ${form.by === "count"
          ? html`<${Field} key="count" label="Devices" inputMode="numeric" value=${form.count} onInput=${set("count")}
              fault=${problem?.field?.("count")} hint=${`${format.count(there)} are running now`} />`
          : html`<${Field} key="percentage" label="Percent" inputMode="decimal" value=${form.percentage}
              onInput=${set("percentage")} fault=${problem?.field?.("percentage")}
              hint=${`${format.count(chosen)} of the ${format.count(there)} that are running now`} />`}
        <${Select} label="How they go" full value=${form.mode} onInput=${set("mode")} options=${MODES}
          fault=${problem?.field?.("mode")} />
        <${Field} type="checkbox" label="They come back" value=${form.reconnect} onInput=${set("reconnect")}
          fault=${problem?.field?.("reconnect")} hint="Otherwise they stay away until they are started" />
        ${form.reconnect
          ? html`<${Field} label="after (ms)" inputMode="numeric" value=${form.reconnectDelayMs}
              onInput=${set("reconnectDelayMs")} fault=${problem?.field?.("reconnectDelayMs")} />`
          : null}
      </div>
      <${StrategyForm} strategy=${strategy} preview=${preview} problem=${problem} />
      <${Preview} strategy=${strategy} preview=${preview} what="gone" count=${chosen} />
      <${AsCurl} request=${requests.dropout(group.groupId, body)} />`}
  <//>`;
}

function Remove({ group, onClose }) {
  const send = async () => {
    await api.deleteGroup(group.groupId);
    toast(`Group ${group.groupId} deleted`);
    onClose();
    update({ groupsChanged: read().groupsChanged + 1 });
    if (location.hash.startsWith(address(group.groupId))) location.hash = "#/groups";
  };
  return html`<${Confirm} title=${`Delete ${group.groupId}?`} onClose=${onClose} onSubmit=${send}
    request=${requests.deleteGroup(group.groupId)}>
    The group goes, and its ${format.plural(sizeOf(group), "device")} with it${busy(group) ? "; running ones stop" : ""}.
  <//>`;
}

const DIALOGS = { start: Start, dropout: Dropout, remove: Remove };

function Actions({ group, open, onProblem, small }) {
  const stop = () => api.stopGroup(group.groupId).then(
    () => {
      onProblem(null);
      toast(`${group.groupId} is stopping`, requests.stopGroup(group.groupId));
    },
    onProblem,
  );
  const size = small ? "small" : "";
  const label = (verb) => `${verb} ${group.groupId}`;
  return html`
    <button type="button" class=${`${size} primary`} aria-label=${label("Start")} disabled=${idle(group) === 0}
      onClick=${() => open("start", group)}>Start</button>
    <button type="button" class=${size} aria-label=${label("Stop")} disabled=${busy(group) === 0} onClick=${stop}>Stop</button>
    <button type="button" class=${size} aria-label=${label("Drop out devices of")}
      disabled=${!(statesOf(group).running > 0)} onClick=${() => open("dropout", group)}>Drop out</button>
    <button type="button" class=${`${size} quiet danger`} aria-label=${label("Delete")}
      onClick=${() => open("remove", group)}>Delete</button>`;
}

function Row({ group, operation, open, onProblem }) {
  const by = statesOf(group);
  return html`<tr>
    <td class="title"><a class="id" href=${address(group.groupId)}>${group.groupId}</a></td>
    <td data-label="Model"><a href=${`#/models/${encodeURIComponent(group.modelId)}`}>${group.modelId}</a></td>
    <td class="n" data-label="Devices">${format.count(sizeOf(group))}</td>
    <td class="n live" data-label="Running">${format.count(by.running || 0)}</td>
    <td class="groups-bar live" data-label="States">${operation
      ? html`<${Progress} operation=${operation} />`
      : html`<${StateBar} byStatus=${by} total=${sizeOf(group)} />`}</td>
    <td class="acts"><div class="row"><${Actions} small group=${group} open=${open} onProblem=${onProblem} /></div></td>
  </tr>`;
}

function List({ groups, operations, open, onProblem }) {
  return html`<div class="card table"><table class="records">
    <thead><tr><th scope="col">Group</th><th scope="col">Model</th><th scope="col" class="n">Devices</th>
      <th scope="col" class="n">Running</th><th scope="col">States</th>
      <th scope="col"><span class="visually-hidden">Actions</span></th></tr></thead>
    <tbody>${groups.map((g) => html`<${Row} key=${g.groupId} group=${g} operation=${operationOf(g, operations)} open=${open}
      onProblem=${onProblem} />`)}</tbody>
  </table></div>`;
}

const BY_STATE = STATES.map((name) => ({ label: name, colour: `--${name}` }));
const none = () => ({ t: [], ...Object.fromEntries(STATES.map((s) => [s, []])) });

/** Hook: the group's states in the last minutes, as columns: those that the service kept, and those of this visit. */
function useTrail(group) {
  const trail = useRef(none());
  const [history] = useLoad(() => api.groupHistory(group.groupId), [group.groupId]);
  useEffect(() => {
    if (history) merge(trail.current, history, (name) => name);
  }, [history]);
  useEffect(() => {
    const columns = trail.current;
    columns.t.push(Date.now() / 1000);
    for (const s of STATES) columns[s].push(statesOf(group)[s] || 0);
    if (columns.t.length > KEPT_S) for (const column of Object.values(columns)) column.shift();
  }, [group]);
  return trail.current;
}

/** The operation that is over, in words. */
function lastly({ operation: o }) {
  if (!o) return "Nothing was asked of this group yet: start it.";
  const name = { start: "Launch", stop: "Stop", dropout: "Dropout" }[o.operation] || o.operation;
  const how = o.strategy ? ` (${o.strategy})` : "";
  return `${name}${how} of ${format.plural(o.total, "device")} at ${format.dateTime(o.startedAt)}: ${o.status}.`;
}

function One({ group, operation }) {
  const by = statesOf(group);
  const { t: x, ...states } = useTrail(group);
  const columns = STATES.map((s) => states[s]);
  useStore((s) => s.held);
  useStore((s) => s.span);
  return html`<div class="card live"><${Chart} title="Devices by state" stacked named
      series=${BY_STATE} x=${x} columns=${columns} xRange=${() => range(x[0], x[x.length - 1])} height=${200}
      marks=${{ group: group.groupId }} /></div>
  <div class="two">
    <section class="card live" aria-labelledby="states"><h2 id="states">Devices</h2><div class="stack">
      <${StateBar} byStatus=${by} total=${sizeOf(group)} />
      <dl class="facts">
        ${STATES.map((s) => html`<dt key=${s}><${State} status=${s} /></dt><dd><a
          href=${`#/devices?groupId=${encodeURIComponent(group.groupId)}&status=${s}`}>${format.count(by[s] || 0)}</a></dd>`)}
        <dt>connected</dt><dd>${format.count(group.connected)}</dd>
      </dl>
      <a href=${`#/devices?groupId=${encodeURIComponent(group.groupId)}`}>All ${format.plural(sizeOf(group), "device")}</a>
    </div></section>
    <div class="stack"><section class="card live" aria-labelledby="operation"><h2 id="operation">Operation</h2>
      <div class="operations">${operation
        ? html`<${Progress} operation=${operation} />`
        : html`<p class="muted">${lastly(group)}</p>`}</div></section>
    <section class="card" aria-labelledby="facts"><h2 id="facts">Facts</h2><dl class="facts">
      <dt>Model</dt><dd><a href=${`#/models/${encodeURIComponent(group.modelId)}`}>${group.modelId}</a></dd>
      <dt>Device ids</dt><dd><code>${group.idPattern || "{groupId}-{index}"}</code></dd>
      <dt>Created</dt><dd>${format.dateTime(group.createdAt)}</dd>
      ${group.startedAt ? html`<dt>Started</dt><dd>${format.dateTime(group.startedAt)}</dd>` : null}
    </dl></section></div>
  </div>`;
}

export function Groups({ id, query }) {
  const changed = useStore((s) => s.groupsChanged);
  const operations = useStore((s) => s.operations);
  const [result, problem, reload] = useLoad(() => (id ? api.group(id) : api.groups()), [id, changed], 1000);
  const [dialog, setDialog] = useState(query.new && !id ? { name: "create" } : null);
  const [failed, setFailed] = useState(null);
  const open = (name, group) => setDialog({ name, group });
  const close = () => {
    setDialog(null);
    reload();
  };
  const create = html`<button type="button" class="primary" onClick=${() => open("create")}>
    <${Icon} name="plus" size=${18} />New group</button>`;
  const Acting = dialog && DIALOGS[dialog.name];
  const dialogs = html`
    ${dialog?.name === "create" ? html`<${Create} onClose=${close} model=${query.model} />` : null}
    ${Acting ? html`<${Acting} group=${dialog.group} onClose=${close} />` : null}`;
  const problems = html`<${ProblemBox} problem=${failed} />${problem && problem.status
    ? html`<${ProblemBox} problem=${problem} />` : null}`;

  if (id) {
    return html`<${Head} title=${id} before=${html`<a href="#/groups">Groups</a><span class="muted" aria-hidden="true">/</span>`}
        actions=${result && html`<${Actions} group=${result} open=${open} onProblem=${setFailed} />`} />
      <div class="under-head"><${TimeControls} /></div>
      <div class="stack">${problems}
        ${result ? html`<${One} group=${result} operation=${operationOf(result, operations)} />` : null}</div>${dialogs}`;
  }
  return html`<${Head} title="Groups" actions=${create} />
    <div class="stack">${problems}
      ${result && !result.length
        ? html`<${Empty} icon="groups" title="No groups yet" actions=${create}>A group is a number of devices of one
            model. Its devices start together by a strategy, and can be dropped out together, to see how the backend
            takes it.<//>`
        : null}
      ${result?.length ? html`<${List} groups=${result} operations=${operations} open=${open} onProblem=${setFailed} />` : null}
    </div>${dialogs}`;
}
