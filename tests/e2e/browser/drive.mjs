// Drives the page in headless Chromium for the tests: node drive.mjs SCENARIO ADDRESS, a function of scenarios.mjs or
// watching.mjs.
// The exit status is 0 if it went through, and the page did nothing forbidden meanwhile: no error on its console, no
// breach of its content security policy, no request to another host, no exception.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const require = createRequire(`${resolve(process.env.IOTIX_BROWSER || "build/browser")}/`);
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const LIMIT_MS = Number(process.env.PAGE_STEP_MS || 60000); // for one step, on a slow machine; none of them waits for it

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"];

export class Failure extends Error {}

export function check(condition, what) {
  if (!condition) throw new Failure(what);
}

/** A browser with one page at the address. `forgive`: console errors that the scenario causes on purpose. */
export class Session {
  constructor(address) {
    this.address = address;
    this.faults = [];
    this.forgive = [];
    this.waiting = "nothing";
  }

  async open({ width = 1280, height = 860, colorScheme = "light", reducedMotion = "no-preference" } = {}) {
    this.profile = mkdtempSync(join(tmpdir(), "iotix-page-"));
    this.context = await chromium.launchPersistentContext(this.profile, {
      executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
      headless: true,
      args: FLAGS,
      viewport: { width, height },
      colorScheme,
      reducedMotion,
    });
    this.context.setDefaultTimeout(LIMIT_MS);
    await this.context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (e) => {
        console.error(`CSP violation: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`);
      });
    });
    this.page = this.context.pages()[0];
    this.page.on("console", (m) => m.type() === "error" && this.fault(`console: ${m.text()} ${m.location().url}`));
    this.page.on("pageerror", (e) => this.fault(`exception: ${e.stack || e.message}`));
    const host = new URL(this.address).host;
    this.context.on("request", (r) => {
      const url = new URL(r.url());
      if (/^(https?|wss?):$/.test(url.protocol) && url.host !== host) this.fault(`request to another host: ${r.url()}`);
    });
    await this.goto("#/overview");
    return this.page;
  }

  fault(text) {
    if (!this.forgive.some((pattern) => pattern.test(text))) this.faults.push(text);
  }

  /** Goes to a view of the page. */
  async goto(hash) {
    await this.page.goto(`${this.address}/${hash}`);
    await this.page.locator("h1").waitFor();
  }

  /** Waits until the service's figures come in. */
  async live() {
    await this.page.locator(".link-state.live").waitFor();
  }

  /** Waits until fn, in the page, gives something true. */
  async until(fn, argument, what = "") {
    try {
      return await this.page.waitForFunction(fn, argument, { timeout: LIMIT_MS });
    } catch (error) {
      throw new Failure(`still waiting for ${what || fn}: ${error.message.split("\n")[0]}`);
    }
  }

  /** The value of a figure of the overview, as it stands there. */
  async untilFigure(label, text) {
    await this.until(([l, t]) => {
      const box = [...document.querySelectorAll(".figure")].find((f) => f.querySelector("dt").textContent === l);
      return box?.querySelector(".value").textContent === t;
    }, [label, text], `the figure ${label} to be ${text}`);
  }

  async button(name, within = this.page) {
    return within.getByRole("button", { name, exact: true });
  }

  /** Faults of accessibility, as axe sees them: none. `rules`: only these. */
  async accessible(what, rules) {
    await this.page.evaluate(AXE); // not a script element: the page's policy would rightly refuse it
    const found = await this.page.evaluate(async (only) => {
      const all = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
      const result = await window.axe.run(document, { runOnly: only || all });
      return result.violations.map((v) => `${v.id} (${v.help}): ${v.nodes.slice(0, 3)
        .map((n) => `${n.target} ${n.failureSummary}`).join("; ")}`);
    }, rules);
    check(found.length === 0, `${what}: ${found.join("\n")}`);
  }

  /** How many points of a chart's canvas have that colour (a variable of the style sheet); none, if it is not there yet. */
  async painted(title, variable) {
    return this.page.evaluate(([t, v]) => {
      const figure = [...document.querySelectorAll(".chart")].find((f) => f.querySelector("h2").textContent === t);
      const canvas = figure?.querySelector("canvas");
      if (!canvas?.width || !canvas.height) return 0;
      const probe = document.createElement("canvas").getContext("2d");
      probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(v).trim();
      probe.fillRect(0, 0, 1, 1);
      const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let n = 0;
      for (let i = 0; i < data.length; i += 4) {
        if (Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 12 && data[i + 3] > 200) n++;
      }
      return n;
    }, [title, variable]);
  }

  async untilPainted(title, variable, least) {
    await this.poll(`"${title}" to show ${variable}`, () => this.painted(title, variable), (n) => n >= least);
  }

  /** Asks until the answer is good, and returns it. The runner's own limit ends this, and tells the last answer. */
  async poll(what, question, good) {
    for (;;) {
      const answer = await question();
      if (good(answer)) return answer;
      this.waiting = `${what}: ${JSON.stringify(answer)}`;
      await this.page.waitForTimeout(100);
    }
  }

  async noSideways(what) {
    const over = await this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check(over <= 0, `${what} is ${over} pixels too wide`);
  }

  async close() {
    await this.context?.close();
    if (this.profile) rmSync(this.profile, { recursive: true, force: true });
  }
}

/** Says a word to the test that started this, and waits for its answer. */
const answers = createInterface({ input: process.stdin });
export async function ask(word) {
  const answer = new Promise((resolve) => answers.once("line", resolve));
  process.stdout.write(`ask ${word}\n`);
  return answer;
}

export async function api(session, method, path, body) {
  const response = await fetch(`${session.address}${path}`, {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  check(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

async function main() {
  const [name, address] = process.argv.slice(2);
  const scenarios = { ...(await import("./scenarios.mjs")), ...(await import("./watching.mjs")) };
  const session = new Session(address);
  const limit = setTimeout(() => {
    console.error(`${name}: not finished after ${process.env.PAGE_LIMIT_S || 150} s, waited last for ${session.waiting}`);
    process.exit(2);
  }, 1000 * Number(process.env.PAGE_LIMIT_S || 150));
  try {
    await scenarios[name](session);
    check(session.faults.length === 0, `the page did what it should not:\n${session.faults.join("\n")}`);
  } catch (error) {
    console.error(error instanceof Failure ? error.message : error.stack);
    for (const fault of session.faults) console.error(fault);
    if (process.env.PAGE_SHOT) await session.page?.screenshot({ path: process.env.PAGE_SHOT }).catch(() => {});
    process.exitCode = 1;
  }
  clearTimeout(limit);
  await session.close();
  answers.close();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(); // not awaited: scenarios.mjs imports this
