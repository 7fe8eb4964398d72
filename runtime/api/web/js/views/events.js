// What happens, as it happens: changes of state, operations, messages of the service. Filtered in the page.
import { html, useEffect, useRef, useState } from "../../vendor/preact.js";
import { log } from "../events.js";
import * as format from "../format.js";
import { useStore } from "../store.js";
import { Empty, Field, Head } from "../ui.js";

const KINDS = [["state", "States"], ["progress", "Operations"], ["log", "Messages"], ["link", "Connection"]];
const SHOWN = 100;
const NAMED = 5;
const REDRAW_MS = 250;

const instant = (at) => `${format.time(at)}.${String(at % 1000).padStart(3, "0")}`;

function target(e) {
  if (e.ids) return `#/devices?groupId=${encodeURIComponent(e.group ?? "")}&status=${e.status}`;
  if (e.device) return `#/devices/${encodeURIComponent(e.device)}`;
  return e.group ? `#/groups/${encodeURIComponent(e.group)}` : null;
}

const matches = (e, words) => e.text.toLowerCase().includes(words) || e.ids?.some((id) => id.toLowerCase().includes(words));

/** Of the many devices of a line, those that are looked for, or the first ones. */
function named({ ids }, words) {
  const found = words ? ids.filter((id) => id.toLowerCase().includes(words)) : ids;
  const list = found.length ? found : ids;
  return list.slice(0, NAMED).join(", ") + (list.length > NAMED || list.length < ids.length ? ", …" : "");
}

/** Hook: draws again when something happened, but not more often than one can read. */
function useLog() {
  const logged = useStore((s) => s.logged);
  const [, draw] = useState(0);
  const timer = useRef(0);
  useEffect(() => {
    if (timer.current) return;
    timer.current = setTimeout(() => {
      timer.current = 0;
      draw((n) => n + 1);
    }, REDRAW_MS);
  }, [logged]);
  useEffect(() => () => clearTimeout(timer.current), []);
}

function Line({ event: e, words }) {
  const link = target(e);
  return html`<li class=${e.level || ""}><time dateTime=${new Date(e.at).toISOString()}>${instant(e.at)}</time>
    <span class="kind">${e.kind}</span><span>${link ? html`<a href=${link}>${e.text}</a>` : e.text}${e.ids
      ? html` <small>${named(e, words)}</small>` : null}</span></li>`;
}

export function Events() {
  useLog();
  const [kinds, setKinds] = useState(() => new Set(KINDS.map(([k]) => k)));
  const [text, setText] = useState("");
  const [held, setHeld] = useState(null);
  const frozen = useRef(null);
  if (held === null) frozen.current = null;
  const all = frozen.current || log;
  const words = text.trim().toLowerCase();
  const shown = [];
  let more = false;
  for (let i = all.length - 1; i >= 0; i--) {
    const e = all[i];
    if (!kinds.has(e.kind) || (words && !matches(e, words))) continue;
    if (shown.length === SHOWN) {
      more = true;
      break;
    }
    shown.push(e);
  }
  const pause = () => {
    frozen.current = held ? null : [...log];
    setHeld(held ? null : Date.now());
  };
  const flip = (kind) => (on) => {
    const next = new Set(kinds);
    if (on) next.add(kind);
    else next.delete(kind);
    setKinds(next);
  };
  const newer = frozen.current ? log.filter((e) => e.at > held).length : 0;
  return html`
    <${Head} title="Events" actions=${html`<button type="button" aria-pressed=${held ? "true" : "false"} onClick=${pause}>
      ${held ? `Go on (${format.count(newer)} newer)` : "Pause"}</button>`} />
    <div class="filters">
      <${Field} label="Containing" value=${text} onInput=${setText} placeholder="a device, a group, a word" />
      <fieldset class="row wrap"><legend class="visually-hidden">Kinds</legend>
        ${KINDS.map(([kind, label]) => html`<${Field} key=${kind} type="checkbox" label=${label} value=${kinds.has(kind)}
          onInput=${flip(kind)} />`)}</fieldset>
    </div>
    ${shown.length
      ? html`<div class="card table"><ol class="stream" aria-label="Events, the newest first">
          ${shown.map((e) => html`<${Line} key=${e.id} event=${e} words=${words} />`)}</ol>
          ${more ? html`<p class="muted">Older ones are not shown. The page keeps the last 2,000.</p>` : null}</div>`
      : html`<${Empty} icon="events" title=${log.length ? "Nothing matches" : "Nothing has happened yet"}
          actions=${log.length ? null : html`<a class="button primary" href="#/groups">To the groups</a>`}>
          ${log.length ? "Other kinds or other words may." : "Start a group, and see here what its devices do."}<//>`}`;
}
