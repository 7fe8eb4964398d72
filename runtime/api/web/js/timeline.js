// Which part of the last minutes the charts show, all of them the same one: it follows the present, or is held still.
import { read, update } from "./store.js";

/** Spans that follow the present: seconds and their names. */
export const SPANS = [[60, "1 min"], [300, "5 min"], [900, "15 min"]];
const LEAST_S = 3; // closer than that there is nothing more to see

const nowS = () => Date.now() / 1000;

/** [from, to] in seconds since the epoch; `first` and `last`: what there is to show. */
export function range(first, last) {
  const { span, held } = read();
  if (held) return held;
  const end = last ?? nowS();
  return [Math.max(end - span, Math.min(first ?? end, end - 60)), end];
}

/** Follows the present again, with the last `span` seconds. */
export function follow(span = read().span) {
  update({ span, held: null });
}

/** Stays at that part, whatever comes. */
export function hold(from, to) {
  const middle = (from + to) / 2;
  const half = Math.max(to - from, LEAST_S) / 2;
  update({ held: [middle - half, middle + half] });
}

/** The part that is held, closer by that factor around its middle; or wider, for factors below 1. */
export function zoom(factor) {
  const { held } = read();
  if (!held) return;
  const [from, to] = held;
  const middle = (from + to) / 2;
  hold(middle - (to - from) / factor / 2, middle + (to - from) / factor / 2);
}

/** Earlier or later by that share of what is shown. */
export function move(share) {
  const { held } = read();
  if (held) hold(held[0] + share * (held[1] - held[0]), held[1] + share * (held[1] - held[0]));
}
