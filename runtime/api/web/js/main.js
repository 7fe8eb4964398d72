import { html, render } from "../vendor/preact.js";

render(html`<h1>iotix</h1>`, document.getElementById("app"));
