// The small parts that views are made of.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";
import { curl } from "./api.js";
import { copy } from "./clipboard.js";
import * as format from "./format.js";
import { STATES, useStore } from "./store.js";
import { retitle } from "./title.js";

export const Icon = ({ name, size = 20 }) => html`<svg width=${size} height=${size} viewBox="0 0 24 24" fill="none"
  stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
  <path d=${ICONS[name]} /></svg>`;

const ICONS = {
  overview: "M4 13v6 M9.300 8v11 M14.700 11v8 M20 5v14",
  devices: "M7 3h10a1 1 0 0 1 1 1v16a1 1 0 0 1-1 1H7a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1z M11 17.500h2",
  groups: "M4 4h6v6H4z M14 4h6v6h-6z M4 14h6v6H4z M14 14h6v6h-6z",
  models: "M14 3H6v18h12V7z M14 3v4h4 M9 12h6 M9 16h4",
  events: "M4 6h16 M4 12h16 M4 18h10",
  sun: "M12 8a4 4 0 1 0 0 8a4 4 0 0 0 0-8z M12 2v2 M12 20v2 M2 12h2 M20 12h2 M5 5l1.400 1.400 M17.600 17.600L19 19 M5 19l1.400-1.400 M17.600 6.400L19 5",
  moon: "M20 14.500A8.500 8.500 0 1 1 9.500 4a7 7 0 0 0 10.500 10.500z",
  plus: "M12 5v14 M5 12h14",
};

/** A device's state: a mark of its colour and shape, and the word. */
export const State = ({ status }) => html`<span class=${`badge ${status}`}>${status || format.DASH}</span>`;

/** What the API answered instead of what was asked for. `known`: fields that show their message themselves. */
export function ProblemBox({ problem, known = [] }) {
  if (!problem) return null;
  const rest = problem.others ? problem.others(known) : [];
  if (problem.errors?.length && !rest.length) return null; // each is said at its field
  return html`<div class="problem" role="alert">
    <strong>${problem.title || "That did not work"}</strong>
    ${problem.detail && problem.detail !== problem.title && !rest.length ? html`<span>${problem.detail}</span>` : null}
    ${rest.length
      ? html`<ul>${rest.map((e) => html`<li>${e.path ? html`<code>${e.path}</code>: ` : null}${e.message}</li>`)}</ul>`
      : null}
  </div>`;
}

export const Empty = ({ icon, title, children, actions }) => html`<div class="card empty">
  <${Icon} name=${icon} size=${40} /><h2>${title}</h2><p>${children}</p>
  <div class="row wrap">${actions}</div>
</div>`;

let serial = 0;
export function useId() {
  const id = useRef(null);
  if (!id.current) id.current = `f${++serial}`;
  return id.current;
}

/** A labelled input; `children` replaces the input where given, and gets its attributes: (attributes) => html. */
export function Field({ label, hint, fault, value, onInput, type = "text", full, children, ...rest }) {
  const id = useId();
  const about = [hint && `${id}h`, fault && `${id}e`].filter(Boolean).join(" ");
  const attributes = { id, "aria-describedby": about || undefined, "aria-invalid": fault ? "true" : undefined, ...rest };
  if (type === "checkbox") {
    return html`<div class=${`field check ${full ? "full" : ""}`}>
      <input type="checkbox" checked=${!!value} onChange=${(e) => onInput(e.target.checked)} ...${attributes} />
      <label for=${id}>${label}</label>
      ${hint && html`<span class="hint" id=${`${id}h`}>${hint}</span>`}
      ${fault && html`<span class="fault" id=${`${id}e`}>${fault}</span>`}
    </div>`;
  }
  return html`<div class=${`field ${full ? "full" : ""}`}>
    <label for=${id}>${label}</label>
    ${children
      ? children(attributes)
      : html`<input type=${type} value=${value ?? ""} onInput=${(e) => onInput(e.target.value)}
          autocomplete="off" spellcheck=${false} ...${attributes} />`}
    ${hint && html`<span class="hint" id=${`${id}h`}>${hint}</span>`}
    ${fault && html`<span class="fault" id=${`${id}e`}>${fault}</span>`}
  </div>`;
}

/** options: [value, label] or plain texts. */
export const Select = ({ options, value, onInput, ...rest }) => html`<${Field} ...${rest}>
  ${(attributes) => html`<select ...${attributes} value=${value ?? ""} onChange=${(e) => onInput(e.target.value)}>
    ${options.map((o) => {
      const [v, text] = Array.isArray(o) ? o : [o, o];
      return html`<option key=${v} value=${v} selected=${v === (value ?? "")}>${text}</option>`;
    })}
  </select>`}
<//>`;

/**
 * A modal dialog with a form. onSubmit may return a promise; its failure is shown above the buttons. The browser keeps
 * the focus inside and gives it back afterwards.
 */
export function Dialog({ title, onClose, onSubmit, submit, danger, narrow, known, disabled, children }) {
  const ref = useRef();
  const id = useId();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  useLayoutEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement;
    dialog.showModal();
    dialog.querySelector("[data-first], form input, form select, form textarea, form button")?.focus();
    return () => {
      if (dialog.open) dialog.close();
      if (before?.isConnected) before.focus();
      else document.querySelector("h1")?.focus();
    };
  }, []);
  const send = async (event) => {
    event.preventDefault();
    if (busy || disabled) return;
    setBusy(true);
    setProblem(null);
    try {
      await onSubmit();
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  useEffect(() => {
    if (problem) ref.current.querySelector("[aria-invalid=true]")?.focus();
  }, [problem]);
  return html`<dialog ref=${ref} class=${narrow ? "narrow" : ""} aria-labelledby=${id}
    onCancel=${(e) => {
      e.preventDefault();
      onClose();
    }}>
    <form onSubmit=${send} noValidate>
      <h2 id=${id}>${title}</h2>
      ${typeof children === "function" ? children(problem) : children}
      <${ProblemBox} problem=${problem} known=${known} />
      <div class="bottom">
        <button type="button" onClick=${onClose}>Cancel</button>
        <button type="submit" class=${`primary ${danger ? "danger" : ""}`} disabled=${busy || disabled}>
          ${busy ? "One moment…" : submit}
        </button>
      </div>
    </form>
  </dialog>`;
}

/** A button that copies a text, and says whether it did. */
export function Copy({ text, what = "Copy" }) {
  const [said, setSaid] = useState(null);
  const take = async () => {
    setSaid((await copy(text)) ? "Copied" : "Not allowed here");
    setTimeout(() => setSaid(null), 2000);
  };
  return html`<button type="button" class="small copy" onClick=${take}>${said ?? what}</button>`;
}

/** What a dialog is about to do, as a line for the shell: how one would script it. */
export const AsCurl = ({ request }) => html`<details class="curl">
  <summary>The same from a shell</summary>
  <div><pre tabIndex="0" aria-label="Command line">${curl(request)}</pre><${Copy} text=${curl(request)} /></div>
</details>`;

/** Asks before something is gone. `request`: what will be sent. */
export const Confirm = ({ title, submit = "Delete", request, onClose, onSubmit, children }) => html`<${Dialog} narrow danger
  title=${title} submit=${submit} onClose=${onClose} onSubmit=${onSubmit}><p>${children}</p>
  ${request ? html`<${AsCurl} request=${request} />` : null}<//>`;

/** Proportions of a group's states. */
export function StateBar({ byStatus = {}, total }) {
  const known = STATES.filter((s) => byStatus[s] > 0);
  const words = known.map((s) => `${format.count(byStatus[s])} ${s}`).join(", ") || "no devices";
  return html`<div class="meter" role="img" aria-label=${words} title=${words}>
    ${known.map((s) => html`<i key=${s} class=${s} style=${`width:${(100 * byStatus[s]) / Math.max(total, 1)}%`}></i>`)}
  </div>`;
}

/** An operation on its way: starting, stopping, dropping out. */
export function Progress({ operation: p }) {
  const share = p.total > 0 ? Math.min(100, (100 * p.done) / p.total) : 0;
  const name = { start: "Starting", stop: "Stopping", dropout: "Dropping out" }[p.operation] || p.operation;
  return html`<div class="stack tight">
    <div class="row spread"><small>${name}${p.strategy ? ` (${p.strategy})` : ""}</small>
      <small>${format.count(p.done)} of ${format.count(p.total)}</small></div>
    <div class="meter live" role="progressbar" aria-label=${`${name} ${p.groupId || ""}`} aria-valuemin="0"
      aria-valuemax="100" aria-valuenow=${Math.round(share)}><i style=${`width:${share}%`}></i></div>
  </div>`;
}

/** Title of a view with its actions. */
export function Head({ title, actions, children, before }) {
  useEffect(() => retitle(title), [title]);
  return html`<div class="head">${before}<h1 tabIndex="-1">${title}</h1>
    ${actions ? html`<div class="actions">${actions}</div>` : null}${children ? html`<p>${children}</p>` : null}</div>`;
}

/**
 * Hook: loads with `load`, again when an input changes, when the service is back, and every `every` ms while it is
 * there. Returns [value, problem, reload]; the value stays until a newer one is there.
 */
export function useLoad(load, inputs = [], every = 0) {
  const [result, setResult] = useState({ value: undefined, problem: null });
  const epoch = useStore((s) => s.epoch);
  const live = useStore((s) => s.link === "live");
  const turn = useRef(0);
  const reload = async () => {
    const mine = ++turn.current;
    try {
      const value = await load();
      if (mine === turn.current) setResult({ value, problem: null });
    } catch (problem) {
      if (mine === turn.current) setResult((r) => ({ value: problem.status === 404 ? undefined : r.value, problem }));
    }
  };
  useEffect(() => {
    reload();
    return () => {
      turn.current++;
    };
  }, [...inputs, epoch]);
  useEffect(() => {
    if (!every || !live) return undefined;
    let stop = false;
    let timer = 0;
    const next = async () => {
      if (!document.hidden) await reload();
      if (!stop) timer = setTimeout(next, every);
    };
    timer = setTimeout(next, every);
    return () => {
      stop = true;
      clearTimeout(timer);
    };
  }, [...inputs, every, live]);
  return [result.value, result.problem, reload];
}

/** Hook: the value as it was when it last stood still for `ms`. */
export function useSettled(value, ms) {
  const [settled, setSettled] = useState(value);
  const key = JSON.stringify(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [key]);
  return settled;
}
