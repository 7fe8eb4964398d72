// Buttons over charts: which span they show, and holding it still.
import { html, useEffect } from "../vendor/preact.js";
import * as format from "./format.js";
import { useStore } from "./store.js";
import { columns } from "./history.js";
import { follow, hold, range, SPANS, zoom } from "./timeline.js";

const now = () => range(columns.t[0], columns.t[columns.t.length - 1]);

export function TimeControls() {
  const span = useStore((s) => s.span);
  const held = useStore((s) => s.held);
  useEffect(() => () => follow(), []); // another view begins with the present
  return html`<div class="time-controls">
    <span class="muted held" role="status">${held ? `${format.time(1000 * held[0])} to ${format.time(1000 * held[1])}` : ""}</span>
    ${held ? html`<div class="segmented" role="group" aria-label="Part shown">
      <button type="button" aria-label="Closer" title="Closer (+)" onClick=${() => zoom(2)}>+</button>
      <button type="button" aria-label="Wider" title="Wider (-)" onClick=${() => zoom(0.5)}>−</button>
    </div>` : null}
    <div class="segmented" role="group" aria-label="Time shown">
      ${SPANS.map(([s, text]) => html`<button key=${s} type="button" aria-pressed=${!held && span === s ? "true" : "false"}
        onClick=${() => follow(s)}>${text}</button>`)}
    </div>
    <button type="button" class="pause" aria-pressed=${held ? "true" : "false"} title="Or drag over a chart to look closer"
      onClick=${() => (held ? follow() : hold(...now()))}>${held ? "Go live" : "Pause"}</button>
  </div>`;
}
