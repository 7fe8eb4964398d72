// The frame around the views: navigation, the state of the connection, light or dark, and which view the address names.
import { html, render, useEffect, useRef, useState } from "../vendor/preact.js";
import { curl } from "./api.js";
import { recolour } from "./chart.js";
import { connect } from "./events.js";
import * as format from "./format.js";
import { remember } from "./history.js";
import { useStore } from "./store.js";
import { Copy, Empty, Icon } from "./ui.js";
import { Device } from "./views/device.js";
import { Devices } from "./views/devices.js";
import { Events } from "./views/events.js";
import { Groups } from "./views/groups.js";
import { ModelEditor } from "./views/model.js";
import { Models } from "./views/models.js";
import { Overview } from "./views/overview.js";

const LOGO = new URL("../logo.svg", import.meta.url).pathname;

const VIEWS = {
  overview: { title: "Overview", view: Overview },
  groups: { title: "Groups", view: Groups, one: Groups },
  devices: { title: "Devices", view: Devices, one: Device },
  models: { title: "Models", view: Models, one: ModelEditor },
  events: { title: "Events", view: Events },
};

/** "#/devices/env-1?page=2" → { name: "devices", id: "env-1", query: {page: "2"} } */
function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "", ...rest] = path.split("/");
  let id = rest.join("/");
  try {
    id = decodeURIComponent(id);
  } catch {
    // as it stands, then
  }
  return { name: name || "overview", id, query: Object.fromEntries(new URLSearchParams(query)) };
}

function useRoute() {
  const [now, setNow] = useState(route);
  useEffect(() => {
    const moved = () => setNow(route());
    window.addEventListener("hashchange", moved);
    return () => window.removeEventListener("hashchange", moved);
  }, []);
  return now;
}

function ThemeSwitch() {
  const isDark = () => document.documentElement.classList.contains("dark-mode");
  const [dark, setDark] = useState(isDark);
  useEffect(() => {
    const observer = new MutationObserver(() => {
      setDark(isDark());
      recolour();
    });
    observer.observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
    return () => observer.disconnect();
  }, []);
  const flip = () => window.iotixTheme(dark ? "light" : "dark");
  return html`<button class="icon quiet" type="button" onClick=${flip}
    aria-label=${dark ? "Switch to light colours" : "Switch to dark colours"}>
    <${Icon} name=${dark ? "sun" : "moon"} /></button>`;
}

function LinkState() {
  const link = useStore((s) => s.link);
  const words = { live: "Live", lost: "Not connected", connecting: "Connecting" }[link];
  return html`<span class=${`link-state ${link}`}><i></i>${words}</span>`;
}

function LostBanner() {
  const lost = useStore((s) => s.link === "lost");
  const since = useStore((s) => s.lostAt);
  const seen = useStore((s) => s.stats !== null);
  return html`<div role="status">${lost
    ? html`<div class="banner"><span>The service does not answer${seen ? ` since ${format.time(since)}` : ""}.${" "}
        ${seen ? "What you see is from before." : ""} Trying again…</span>
        <button type="button" class="small" onClick=${connect}>Try now</button></div>`
    : null}</div>`;
}

/** The service was replaced by another build while this page stayed. */
const OutdatedBanner = () => html`<div role="status">${useStore((s) => s.outdated)
  ? html`<div class="banner calm"><span>iotix was updated, this page is from before.</span>
      <button type="button" class="small" onClick=${() => location.reload()}>Reload the page</button></div>`
  : null}</div>`;

const Toasts = () => html`<div class="toasts" role="status">
  ${useStore((s) => s.toasts).map((t) => html`<p key=${t.id}><span>${t.text}</span>
    ${t.request ? html`<${Copy} text=${curl(t.request)} what="Copy as curl" />` : null}</p>`)}</div>`;

const Nav = ({ current }) => html`<nav aria-label="Views"><ul>
  ${Object.entries(VIEWS).map(([name, { title }]) => html`<li key=${name}>
    <a href=${`#/${name}`} aria-current=${name === current ? "page" : undefined}>
      <${Icon} name=${name} />${title}</a></li>`)}
</ul></nav>`;

function App() {
  const { name, id, query } = useRoute();
  const stale = useStore((s) => s.link === "lost");
  const main = useRef();
  const first = useRef(true);
  const entry = VIEWS[name];
  const View = entry && (id && entry.one ? entry.one : entry.view);
  useEffect(() => {
    if (first.current) first.current = false;
    else {
      window.scrollTo(0, 0);
      main.current.querySelector("h1")?.focus({ preventScroll: true });
    }
  }, [name, id]);
  return html`
    <a class="skip" href="#main" onClick=${(e) => {
      e.preventDefault();
      main.current.querySelector("h1")?.focus();
    }}>Skip to content</a>
    <div class=${`frame ${stale ? "stale" : ""}`}>
      <header class="side">
        <a class="brand" href="#/overview"><img src=${LOGO} alt="" width="30" height="30" />iotix</a>
        <${Nav} current=${name} />
        <div class="foot">
          <a class="more" href="/docs">API documentation</a>
          <div class="row"><${LinkState} /><${ThemeSwitch} /></div>
        </div>
      </header>
      <div>
        <${LostBanner} /><${OutdatedBanner} />
        <main id="main" ref=${main}>
          ${View
            ? html`<${View} key=${`${name}/${id}`} id=${id} query=${query} />`
            : html`<h1 tabIndex="-1">Not found</h1><${Empty} icon="overview" title="There is no such view"
                actions=${html`<a class="button primary" href="#/overview">To the overview</a>`}>
                The address does not name anything that is here.<//>`}
        </main>
      </div>
    </div>
    <${Toasts} />`;
}

remember();
connect();
render(html`<${App} />`, document.getElementById("app"));
