// What every view shares, and how views hear of changes: at most once per frame, however much came in.
import { useEffect, useState } from "../vendor/preact.js";

/** Order of states, as charts stack them and bars show them. */
export const STATES = ["running", "starting", "stopping", "dropped", "error", "stopped", "created"];

const state = {
  link: "connecting", // connecting, live, lost
  lostAt: 0,
  epoch: 0, // grows with every (re)connection: what was fetched before may be outdated
  stats: null,
  operations: new Map(), // groupId → the latest progress of its operation
  groupsChanged: 0,
  modelsChanged: 0,
  span: 300, // seconds that charts show, up to now …
  held: null, // … or the part [from, to] that they stay at (timeline.js)
  filled: 0, // how often the history was taken over from the service
  outdated: false, // the service has another page by now
  toasts: [],
};

const listeners = new Set();
let pending = false;

function flush() {
  pending = false;
  for (const listener of [...listeners]) listener();
}

/** Takes changed values over and tells the views in the next frame. */
export function update(changes) {
  Object.assign(state, changes);
  if (!pending) {
    pending = true;
    requestAnimationFrame(flush);
  }
}

export const read = () => state;

/** Hook: the selected value; the view is drawn again when it is another one. */
export function useStore(select) {
  const [value, setValue] = useState(() => select(state));
  useEffect(() => {
    const listener = () => setValue(() => select(state));
    listeners.add(listener);
    listener();
    return () => listeners.delete(listener);
  }, []);
  return value;
}

let toastId = 0;

/** Says briefly that something was done, and offers the request that did it (api.js); screen readers are told as well. */
export function toast(text, request) {
  const id = ++toastId;
  update({ toasts: [...state.toasts.slice(-2), { id, text, request }] });
  setTimeout(() => update({ toasts: state.toasts.filter((one) => one.id !== id) }), request ? 9000 : 5000);
}
