// The document's title: which view, and how the fleet is; told at once, so that a tab in the background shows it too.
import { count } from "./format.js";
import { read } from "./store.js";

let view = "";

/** Called when the view, the figures or the connection have changed. */
export function retitle(title = view) {
  view = title;
  const { link, stats } = read();
  const by = stats?.byStatus || {};
  const parts = [view, "iotix"];
  if (link === "lost") parts.unshift("not connected");
  else if (stats?.deviceCount > 0) {
    const trouble = [by.error && `${count(by.error)} in error`, by.dropped && `${count(by.dropped)} dropped`].filter(Boolean);
    parts.unshift([`${count(stats.runningDeviceCount)} running`, ...trouble].join(", "));
  }
  const text = parts.join(" – ");
  if (document.title !== text) document.title = text;
}
