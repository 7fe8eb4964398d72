// A text area for JSON with line numbers, and messages behind the lines that they are about.
import { html, useRef } from "../vendor/preact.js";

/** faults: [{line (from 0), path, message, warning?}]. `actions.goTo(line)` is filled in for the caller. */
export function Editor({ text, onInput, faults, label, describedBy, readOnly, actions }) {
  const area = useRef();
  const gutter = useRef();
  const back = useRef();
  const lines = text.split("\n");
  const at = new Map();
  for (const f of faults) {
    const there = at.get(f.line);
    at.set(f.line, { text: there ? `${there.text}; ${f.message}` : f.message,
      level: f.warning && there?.level !== "bad" ? "warn" : "bad" });
  }
  const scrolled = () => {
    gutter.current.scrollTop = back.current.scrollTop = area.current.scrollTop;
    back.current.scrollLeft = area.current.scrollLeft;
  };
  if (actions) {
    actions.goTo = (line) => {
      const before = lines.slice(0, line).reduce((n, l) => n + l.length + 1, 0);
      area.current.focus();
      area.current.setSelectionRange(before, before + (lines[line] ?? "").length);
      area.current.scrollTop = Math.max(0, line * 20 - area.current.clientHeight / 3);
    };
  }
  return html`<div class="editor">
    <div class="gutter" ref=${gutter} aria-hidden="true">
      ${lines.map((_, i) => html`<div key=${i} class=${at.get(i)?.level || ""}>${i + 1}</div>`)}
    </div>
    <div class="paper">
      <pre ref=${back} aria-hidden="true">${lines.map((l, i) => html`<div key=${i} class=${at.get(i)?.level || ""}>${l}${
        at.has(i) ? html`<em>${at.get(i).text}</em>` : l ? null : " "}</div>`)}</pre>
      <textarea ref=${area} value=${text} aria-label=${label} aria-describedby=${describedBy} readOnly=${readOnly}
        aria-invalid=${faults.some((f) => !f.warning) ? "true" : undefined} wrap="off" spellcheck=${false} autocomplete="off" autocapitalize="off"
        onInput=${(e) => onInput(e.target.value)} onScroll=${scrolled}></textarea>
    </div>
  </div>`;
}
