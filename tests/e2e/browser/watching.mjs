// What people watch on the page while a test goes on: history, marks, pointers and time of the charts, the health of the
// generator, command lines to take away. Each function is one test of test_page_watching.py.
import { api, ask, check } from "./drive.mjs";

const dialog = (s) => s.page.locator("dialog[open]");
const plot = (s, title) => s.page.locator(".chart").filter({ has: s.page.getByRole("heading", { name: title, exact: true }) })
  .locator(".plot");

/** What a module of the page exports, as JSON: they are there once, so it is what the page itself has. */
const state = (s, module, name) => s.page.evaluate(async ([m, n]) => {
  const main = document.querySelector('script[src$="/js/main.js"]').src;
  return JSON.parse(JSON.stringify((await import(new URL(m, main).href))[n]));
}, [module, name]);

const untilState = (s, module, name, good) => s.poll(`${name} of ${module}`, () => state(s, module, name), good);

async function fleet(s, id, count) {
  await api(s, "POST", "/api/v1/groups", { modelId: "page-sensor", count, groupId: id });
  await api(s, "POST", `/api/v1/groups/${id}/start`, { strategy: "linear", delayMs: 5 });
  const running = async () => (await api(s, "GET", `/api/v1/groups/${id}`)).byStatus.running;
  while ((await running()) !== count) await new Promise((resolve) => setTimeout(resolve, 50));
}

/** Who opens the page in the middle of a test sees what was before, and what is told about it. */
export async function before(s) {
  await fleet(s, "early", 40);
  await s.open();
  await s.untilFigure("Running", "40");
  const opened = await s.page.evaluate(() => performance.timeOrigin / 1000);
  const columns = await untilState(s, "history.js", "columns", (c) => c.t.length > 2 && c.t[0] < opened - 1);
  for (const [name, values] of Object.entries(columns)) check(values.length === columns.t.length, `${name} has another length`);
  check(columns.t.every((t, i) => i === 0 || t > columns.t[i - 1]), "the history's instants go back");
  check(columns.running.some((n) => n < 40) && columns.running.some((n) => n === 40), "the launch is not in the history");
  const marks = await untilState(s, "marks.js", "marks", (list) => list.length > 0);
  check(marks[0].text === "launch of early, linear" && marks[0].t < opened, `the mark is ${JSON.stringify(marks)}`);
  await s.untilPainted("Devices by state", "--mark-start", 20);
  check(/^40 running – Overview – iotix$/.test(await s.page.title()), `the title is ${await s.page.title()}`);
  await s.page.getByRole("region", { name: "Health of the generator" }).getByText(/The generator (keeps up|is under strain|can't)/).waitFor();

  await api(s, "POST", "/api/v1/groups/early/dropout", { strategy: "immediate", count: 15 });
  await untilState(s, "marks.js", "marks", (list) => list.some((m) => m.kind === "dropout" && m.group === "early"));
  await s.untilPainted("Devices by state", "--mark-dropout", 20);
  await s.until(() => document.title.startsWith("25 running, 15 dropped"), null, "the loss in the title");
  check(!(await state(s, "marks.js", "marks")).some((m) => m.kind === "bad"), "a dropout that was asked for is shown as a fault");

  await s.goto("#/groups/early");
  await s.page.reload();
  await s.page.getByRole("heading", { level: 1, name: "early", exact: true }).waitFor();
  await s.untilPainted("Devices by state", "--dropped", 20);
  await s.page.getByText(/Dropout \(immediate\) of 15 devices at .*: done/).waitFor();
  await s.page.goBack();
  await s.page.getByRole("heading", { level: 1, name: "Overview", exact: true }).waitFor();
  await untilState(s, "marks.js", "marks", (list) => list.some((m) => m.kind === "dropout"));
}

/** The pointer is in all charts at once; time is held, looked at closely, and goes on. */
export async function time(s) {
  await fleet(s, "timed", 10);
  await s.open({ height: 1700 });
  await s.untilFigure("Running", "10");
  await untilState(s, "history.js", "columns", (c) => c.t.length > 5);
  const box = await plot(s, "Messages per second").boundingBox();
  await s.page.mouse.move(box.x + box.width - 60, box.y + box.height / 2);
  await s.until(() => {
    const tips = [...document.querySelectorAll(".charts .tip")];
    return tips.length === 7 && tips.every((t) => !t.hidden && /^\d\d:\d\d:\d\d/.test(t.textContent)) &&
      new Set(tips.map((t) => t.textContent.slice(0, 8))).size === 1;
  }, null, "the pointer's instant in each chart");
  await s.page.mouse.move(5, 5);
  await s.until(() => [...document.querySelectorAll(".charts .tip")].every((t) => t.hidden), null, "no pointer");

  await s.page.getByRole("button", { name: "Pause" }).click();
  const part = s.page.locator(".time-controls .held");
  await s.until(() => document.querySelector(".held").textContent !== "", null, "the part that is held");
  const still = await part.textContent();
  check(/^\d\d:\d\d:\d\d to \d\d:\d\d:\d\d$/.test(still), `what is held is "${still}"`);
  const { length } = (await state(s, "history.js", "columns")).t;
  await untilState(s, "history.js", "columns", (c) => c.t.length > length + 1);
  check((await part.textContent()) === still, "what is held moves");
  await s.page.getByRole("button", { name: "Closer" }).click();
  await s.until((t) => document.querySelector(".held").textContent !== t, still, "a closer look");
  await s.page.getByRole("button", { name: "Go live" }).click();
  await s.until(() => document.querySelector(".held").textContent === "", null, "the present");

  await s.page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await s.page.mouse.down();
  await s.page.mouse.move(box.x + box.width / 2 + 40, box.y + box.height / 2, { steps: 4 });
  await s.page.mouse.move(box.x + box.width / 2 + 90, box.y + box.height / 2, { steps: 4 });
  await s.page.mouse.up();
  await s.until(() => document.querySelector(".held").textContent !== "", null, "the part that was dragged over");
  await plot(s, "Latency").focus();
  await s.page.keyboard.press("ArrowLeft");
  await s.page.keyboard.press("Escape");
  await s.until(() => document.querySelector(".held").textContent === "", null, "the present, by Escape");
  await plot(s, "Latency").focus();
  await s.page.keyboard.press("ArrowLeft");
  await s.until(() => document.querySelectorAll(".charts .tip:not([hidden])").length === 7, null, "the pointer, by keys");

  await s.page.getByRole("button", { name: "1 min", exact: true }).click();
  await s.until(() => location.hash === "#/overview?span=60", null, "the span in the address");
  await s.page.reload();
  await s.page.getByRole("button", { name: "1 min", exact: true, pressed: true }).waitFor();
}

/** What the dialogs and buttons did can be repeated from a shell, to the letter. */
export async function shell(s) {
  await s.open();
  await s.goto("#/groups?new=1");
  const line = async () => {
    await dialog(s).locator("summary", { hasText: "The same from a shell" }).click();
    return dialog(s).locator(".curl pre").textContent();
  };
  await s.until(() => document.querySelectorAll("dialog option").length > 0, null, "models to choose from");
  await dialog(s).getByLabel("Model").selectOption("page-sensor");
  await dialog(s).getByLabel("Number of devices").fill("12");
  await dialog(s).getByLabel("Group id").fill("shelled");
  check((await ask(`run ${await line()}`)).includes('"deviceCount":12'), "the line creates no group");
  await s.page.keyboard.press("Escape");
  await s.goto("#/groups/shelled");
  await s.page.getByRole("button", { name: "Start shelled" }).click();
  await dialog(s).getByRole("radio", { name: /^immediate/ }).check();
  check((await ask(`run ${await line()}`)).includes('"devicesStarted":12'), "the line starts nothing");
  await s.page.keyboard.press("Escape");
  await s.until(() => /12 running/.test(document.querySelector(".meter")?.ariaLabel), null, "12 running devices");
  await s.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await s.page.getByRole("button", { name: "Stop shelled" }).click();
  await s.page.getByRole("button", { name: "Copy as curl" }).click();
  await s.page.getByRole("button", { name: "Copied" }).waitFor();
  const copied = await s.page.evaluate(() => navigator.clipboard.readText());
  check(copied === `curl -X POST '${s.address}/api/v1/groups/shelled/stop'`, `copied was: ${copied}`);
}

/** Devices that find no broker stand first, with the reason; a model being written is not lost by looking at them. */
export async function unconnected(s) {
  s.forgive.push(/status of 400/);
  await s.open();
  await s.goto("#/models/new");
  const text = s.page.getByLabel("Model as JSON");
  await s.until(() => document.querySelector("textarea")?.value.includes("my-sensor-v1"), null, "the template");
  await text.fill((await text.inputValue()).replace("my-sensor-v1", "my-draft"));
  await api(s, "POST", "/api/v1/groups", { modelId: "page-sensor", count: 7, groupId: "nowhere",
    overrideConnection: { broker: "127.0.0.1", port: Number(await ask("port")) } });
  await api(s, "POST", "/api/v1/groups/nowhere/start", { strategy: "immediate" });
  await s.page.getByRole("link", { name: "Overview", exact: true }).click();
  await s.page.getByRole("alert").filter({ hasText: "7 devices can't connect" }).waitFor();
  await s.accessible("devices without a broker", ["wcag2a", "wcag2aa"]);
  await s.page.goBack();
  await s.page.getByText("What you had written and not saved is back").waitFor();
  check((await text.inputValue()).includes("my-draft"), "the draft is lost");
  await s.page.getByRole("button", { name: "Discard it" }).click();
  check((await text.inputValue()).includes("my-sensor-v1"), "the draft is still there");

  await s.goto("#/groups?new=1&model=page-sensor");
  await s.until(() => document.querySelector("dialog select")?.value === "page-sensor", null, "the model that was asked for");
  await dialog(s).getByLabel("Number of devices").fill("none");
  await dialog(s).getByRole("button", { name: "Create" }).click();
  await dialog(s).locator(".fault").waitFor();
  await s.until(() => document.activeElement.getAttribute("aria-invalid") === "true", null, "the focus at the faulty field");
  check((await dialog(s).locator(".problem").count()) === 0, "what is said at the field is said again");
  await dialog(s).getByLabel("Number of devices").fill("1,000");
  await dialog(s).getByLabel("Group id").fill("thousand");
  await dialog(s).getByRole("button", { name: "Create" }).click();
  await dialog(s).waitFor({ state: "detached" });
  check((await api(s, "GET", "/api/v1/groups/thousand")).deviceCount === 1000, "1,000 is no thousand");
}

const HOSTILE = {
  id: "hostile", name: "<img src=x onerror=alert(1)>", type: "sensor", protocol: "mqtt",
  description: "</p><script>alert(2)</script>",
  connection: { topicPattern: "page/${deviceId}" },
  telemetry: [
    { name: "<b onmouseover=alert(3)>x</b>", type: "number", unit: "<svg/onload=alert(4)>", intervalMs: 500,
      generator: { type: "random", min: 0, max: 1 } },
    { name: "an_attribute_with_a_name_that_is_as_long_as_names_can_be_and_on", type: "string", intervalMs: 500,
      generator: { type: "constant", value: "<iframe src=javascript:alert(5)> 'quoted' \"text\" ${x} {{y}}" } },
    { name: "raw", type: "binary", intervalMs: 500, generator: { type: "constant", value: "AAECAwQFBgcICQ==" } },
    { name: "on", type: "boolean", intervalMs: 500, generator: { type: "random" } },
  ],
  commands: [{ name: "go", topic: "page/${deviceId}/go",
    parameters: [{ name: "<u>p</u>", type: "string", description: "<a href=javascript:alert(6)>" }] }],
};

/** Names are texts, whatever is in them. */
export async function hostile(s) {
  s.forgive.push(/status of 40/);
  await api(s, "POST", "/api/v1/models", HOSTILE);
  await api(s, "POST", "/api/v1/groups", { modelId: "hostile", count: 3, groupId: "guests" });
  await api(s, "POST", "/api/v1/groups/guests/start", { strategy: "immediate" });
  await s.open({ width: 390, height: 800 });
  s.page.on("dialog", (d) => {
    s.fault(`a name was run: ${d.message()}`);
    d.dismiss();
  });
  const views = ["#/models", "#/models/hostile", "#/models/new?from=hostile", "#/groups?new=1", "#/groups/guests", "#/devices",
    "#/devices/guests-1", "#/events", "#/groups/%3Cimg%20src%3Dx%20onerror%3Dalert(7)%3E", "#/devices/%3Cscript%3Ealert(8)%3C%2Fscript%3E"];
  for (const view of views) {
    await s.goto(view);
    await s.page.locator("main .card, main .editor, main .problem").first().waitFor();
    await s.noSideways(view);
  }
  await s.goto("#/devices/guests-1");
  await s.page.getByText("<iframe src=javascript:alert(5)>").waitFor();
  await s.page.getByRole("heading", { name: "<b onmouseover=alert(3)>x</b>" }).waitFor();
  const made = await s.page.evaluate(() => document.querySelectorAll("main iframe, main script, main u, main b[onmouseover], main img").length);
  check(made === 0, `${made} elements were made of names`);
}

/** A page that stayed while the service became another build says so. */
export async function updated(s) {
  s.forgive.push(/ERR_|status of 503/);
  await s.open();
  await s.live();
  check((await s.page.getByText("iotix was updated").count()) === 0, "an update is claimed");
  await s.page.route(`${s.address}/`, async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, body: (await answer.text()).replace(/\/assets\/\w+\//g, "/assets/0123456789ab/") });
  });
  await ask("stop");
  await s.page.getByText("The service does not answer").waitFor();
  await ask("start");
  await s.page.getByText("iotix was updated").waitFor();
  await s.page.getByRole("button", { name: "Reload the page" }).waitFor();
}

/** The documentation in the colours of the visitor: the system's, or those chosen on the page. */
export async function darkDocumentation(s) {
  await s.open({ colorScheme: "dark" });
  const dark = () => s.page.evaluate(() => {
    const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
    return r + g + b < 200;
  });
  await s.page.goto(`${s.address}/docs`);
  await s.page.locator(".opblock").first().waitFor();
  check(await dark(), "a dark system gets a light documentation");
  await s.accessible("the documentation, dark", ["color-contrast"]);
  await s.page.getByRole("button", { name: "Switch to light colours" }).click();
  check(!(await dark()), "the switch to light does nothing");
  await s.goto("#/overview");
  check(!(await dark()), "the page does not know what was chosen");
  await s.page.goto(`${s.address}/docs`);
  await s.page.locator(".opblock").first().waitFor();
  const create = s.page.locator("#operations-groups-createGroup");
  await create.locator(".opblock-summary").click();
  await create.locator("textarea").fill(JSON.stringify({ modelId: "page-sensor", count: 3, groupId: "tried" }));
  await create.getByRole("button", { name: "Execute" }).click();
  await create.locator(".live-responses-table").getByText("201").waitFor();
  check((await api(s, "GET", "/api/v1/groups/tried")).deviceCount === 3, "what was tried has not happened");
}
