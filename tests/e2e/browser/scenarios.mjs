// What people do on the page. Each function is one test of test_page.py, against a running service.
import { api, ask, check } from "./drive.mjs";

const dialog = (s) => s.page.locator("dialog[open]");
const row = (s, text) => s.page.locator("tbody tr").filter({ hasText: text });

/** Creates a group by the dialog, and comes out at its page. */
async function createGroup(s, { model, count, id }) {
  const box = dialog(s);
  await box.getByLabel("Model").selectOption(model);
  await box.getByLabel("Number of devices").fill(String(count));
  await box.getByLabel("Group id").fill(id);
  await box.getByRole("button", { name: "Create" }).click();
  await s.page.getByRole("heading", { level: 1, name: id, exact: true }).waitFor();
  await box.waitFor({ state: "detached" });
}

/** From nothing to a fleet of which half is lost: figures, values and plots follow. */
export async function fleet(s) {
  await s.open();
  await s.live();
  await s.page.getByText("No devices yet").waitFor();
  await s.page.getByRole("link", { name: "Create a group" }).click();
  await createGroup(s, { model: "page-sensor", count: 60, id: "hall" });

  await s.page.getByRole("button", { name: "Start hall" }).click();
  const box = dialog(s);
  await box.getByRole("radio", { name: /^linear/ }).check();
  await box.getByLabel("Delay (ms)").fill("20");
  await box.getByText("60 devices started within 1.2 s").waitFor();
  await s.untilPainted("Devices started over time", "--line-a", 50);
  await box.getByRole("button", { name: "Start", exact: true }).click();
  await box.waitFor({ state: "detached" });

  await s.goto("#/overview");
  await s.untilFigure("Running", "60");
  await s.untilPainted("Devices by state", "--running", 200);
  await s.until(() => {
    const chart = [...document.querySelectorAll(".plot")].find((p) => p.ariaLabel.startsWith("Messages per second"));
    return Number(/sent ([\d.,]+)/.exec(chart.ariaLabel)?.[1].replace(/,/g, "")) > 0;
  }, null, "messages on the plot");

  await s.goto("#/devices/hall-7");
  const value = s.page.getByRole("region", { name: "level" }).locator(".value");
  await s.until(() => /\d/.test(document.querySelector("[aria-label=level] .value")?.textContent), null, "a value");
  const first = await value.textContent();
  await s.until((before) => document.querySelector("[aria-label=level] .value").textContent !== before, first,
    "another value");
  await s.page.getByRole("img", { name: /level over the last/ }).waitFor();

  await s.goto("#/groups/hall");
  await s.page.getByRole("button", { name: "Drop out devices of hall" }).click();
  await box.getByLabel("Percent").fill("50");
  await box.getByText("30 of the 60 that are running now").waitFor();
  await box.getByText("30 devices gone at once").waitFor();
  await box.getByRole("button", { name: "Drop 30 devices" }).click();
  await box.waitFor({ state: "detached" });

  await s.goto("#/overview");
  await s.untilFigure("Running", "30");
  await s.page.getByText("30 dropped", { exact: true }).waitFor();
  await s.page.getByRole("img", { name: /Devices by state: running 30,.* dropped 30,/ }).waitFor();
  await s.untilPainted("Devices by state", "--dropped", 50);

  await s.goto("#/groups");
  await s.page.getByRole("button", { name: "Stop hall" }).click();
  await s.until(() => /60 stopped/.test(document.querySelector("tbody .meter")?.ariaLabel), null, "60 stopped devices");
  await s.page.getByRole("button", { name: "Delete hall" }).click();
  await box.getByRole("button", { name: "Delete" }).click();
  await s.page.getByText("No groups yet").waitFor();
}

const FAULTY = `{
  "id": "boiler-v1",
  "name": "Boiler",
  "type": "sensor",
  "protocol": "mqtt",
  "telemetry": [
    {
      "name": "temperature",
      "type": "number",
      "intervalMs": -5,
      "generator": { "type": "random",
        "min": 90, "max": 80 }
    }
  ]
}`;

/** A model with faults: each message at its line, while one types; then added, changed, refused as a double, deleted. */
export async function models(s) {
  s.forgive.push(/status of (400|409)/);
  await s.open();
  await s.goto("#/models/new");
  const text = s.page.getByLabel("Model as JSON");
  const add = s.page.getByRole("button", { name: "Add model" });
  await text.fill(FAULTY);
  await s.page.getByRole("heading", { name: "2 faults" }).waitFor();
  check(await add.isDisabled(), "a faulty model can be added");
  const marked = async () => s.page.locator(".editor .gutter .bad").allTextContents();
  check((await marked()).join() === "10,12", `the lines 10 and 12 are marked, not ${await marked()}`);
  const inPlace = await s.page.locator(".editor pre .bad em").allTextContents();
  check(inPlace.length === 2 && /\d/.test(inPlace[0]) && /90/.test(inPlace[1]), `in place: ${inPlace}`);
  await s.page.getByRole("button", { name: /Line 12/ }).click();
  const chosen = await text.evaluate((area) => area.value.slice(area.selectionStart, area.selectionEnd));
  check(chosen.includes('"min": 90'), `the message leads to "${chosen}"`);

  await text.fill(FAULTY.replace('"max": 80 }', '"max": 80'));
  await s.page.getByText(/expected a comma or }/).first().waitFor();

  const good = FAULTY.replace("-5", "500").replace("90", "40");
  await text.fill(good.replace("intervalMs", "intervalms"));
  await s.page.getByRole("heading", { name: "No faults, 1 warning" }).waitFor();
  check((await s.page.locator(".editor .gutter .warn").allTextContents()).join() === "10", "the warning is not at line 10");
  await s.page.locator(".editor pre .warn em", { hasText: "intervalMs" }).waitFor();
  await text.fill(good);
  await s.page.getByRole("heading", { name: "No faults", exact: true }).waitFor();
  await add.click();
  await s.page.getByRole("heading", { level: 1, name: "Boiler" }).waitFor();
  await s.goto("#/models");
  await row(s, "boiler-v1").waitFor();

  await s.goto("#/models/new");
  await text.fill(good);
  await s.page.getByRole("heading", { name: "No faults", exact: true }).waitFor();
  await add.click();
  await s.page.getByRole("alert").filter({ hasText: "boiler-v1" }).waitFor();

  await s.goto("#/models/boiler-v1");
  await s.until(() => document.querySelector("textarea")?.value.includes("boiler-v1"), null, "the model's text");
  await text.fill((await text.inputValue()).replace('"Boiler"', '"Hot boiler"'));
  await s.page.getByRole("heading", { name: "No faults", exact: true }).waitFor();
  await s.page.getByRole("button", { name: "Save" }).click();
  await s.page.getByRole("status").filter({ hasText: "saved" }).waitFor();
  check((await api(s, "GET", "/api/v1/models/boiler-v1")).name === "Hot boiler", "the change is not at the service");
  await s.page.getByRole("button", { name: "Delete" }).click();
  await dialog(s).getByRole("button", { name: "Delete" }).click();
  await s.page.getByRole("heading", { level: 1, name: "Models" }).waitFor();
  await s.until(() => !document.querySelector("main").textContent.includes("boiler-v1"), null, "the model to be gone");
}

/** Faults that the service finds are shown at their fields; a model in use stays. */
export async function refusals(s) {
  s.forgive.push(/status of (400|404|409)/);
  await api(s, "POST", "/api/v1/groups", { modelId: "page-sensor", count: 3, groupId: "taken" });
  await s.open();
  await s.goto("#/groups?new=1");
  const box = dialog(s);
  const count = box.getByLabel("Number of devices");
  await s.until(() => document.querySelectorAll("dialog option").length > 0, null, "models to choose from");
  await box.getByLabel("Model").selectOption("page-sensor");
  await count.fill("0");
  await box.getByRole("button", { name: "Create" }).click();
  await s.until(() => document.querySelector("dialog input[aria-invalid=true]"), null, "the field that is wrong");
  check((await count.getAttribute("aria-invalid")) === "true", "the number is not marked as wrong");
  const described = await count.getAttribute("aria-describedby");
  const message = await s.page.locator(`#${described.split(" ").pop()}`).textContent();
  check(message.length > 5, "the number has no message");
  await count.fill("3");
  await box.getByLabel("Group id").fill("taken");
  await box.getByRole("button", { name: "Create" }).click();
  await box.getByText(/taken/).first().waitFor();
  await s.page.keyboard.press("Escape");
  await box.waitFor({ state: "detached" });

  await s.page.getByRole("button", { name: "Start taken" }).click();
  await box.getByRole("radio", { name: /^linear/ }).check();
  await box.getByLabel("Delay (ms)").fill("-5");
  await s.until(() => document.querySelector("dialog .fault"), null, "the message at the delay");
  check(await box.getByRole("button", { name: "Start", exact: true }).isDisabled(), "a wrong delay can be started");
  await box.getByLabel("Delay (ms)").fill("5");
  await s.until(() => !document.querySelector("dialog .fault"), null, "the message to go");
  await box.getByRole("radio", { name: /^stages/ }).check();
  await box.getByLabel("Stage 2: target").fill("50%");
  await s.until(() => document.querySelector("dialog .fault, dialog .problem"), null, "the message at the stages");
  await box.getByRole("button", { name: "Cancel" }).click();

  await s.goto("#/models/page-sensor");
  await s.page.getByRole("button", { name: "Delete" }).click();
  await dialog(s).getByRole("button", { name: "Delete" }).click();
  await dialog(s).getByRole("alert").waitFor();
  await s.page.keyboard.press("Escape");
  await s.goto("#/devices/nobody");
  await s.page.getByRole("alert").waitFor();
}

/** Filters, pages, one device with its commands. */
export async function devices(s) {
  await api(s, "POST", "/api/v1/groups", { modelId: "page-actuator", count: 1200, groupId: "many" });
  await api(s, "POST", "/api/v1/groups", { modelId: "page-sensor", count: 5, groupId: "few" });
  await s.open();
  await s.goto("#/devices");
  await s.page.getByText("1 to 50 of 1,205").waitFor();
  await s.page.getByRole("button", { name: "Next" }).click();
  await s.page.getByText("51 to 100 of 1,205").waitFor();
  await s.page.getByLabel("Page", { exact: true }).fill("25");
  await s.page.keyboard.press("Enter");
  await s.page.getByText("1,201 to 1,205 of 1,205").waitFor();
  await s.page.goBack();
  await s.page.getByText("51 to 100 of 1,205").waitFor();
  await s.page.getByLabel("Group", { exact: true }).selectOption("few");
  await s.page.getByText("1 to 5 of 5").waitFor();
  await s.page.getByLabel("State").selectOption("running");
  await s.page.getByText("No such devices").waitFor();
  await s.page.getByLabel("Open by id").fill("many-1199");
  await s.page.getByRole("button", { name: "Open", exact: true }).click();
  await s.page.getByRole("heading", { level: 1, name: "many-1199" }).waitFor();

  await s.page.getByRole("button", { name: "Start", exact: true }).click();
  await s.page.locator(".badge.running").first().waitFor();
  await s.page.getByRole("textbox", { name: "setpoint" }).fill("42.5");
  await s.page.getByRole("button", { name: "Send" }).click();
  await s.page.getByRole("status").filter({ hasText: "Command setSetpoint sent" }).waitFor();
  check((await ask("answer many-1199")) === "42.5", "the device did not get the command");
  await s.page.getByRole("button", { name: "Stop", exact: true }).click();
  await s.page.locator(".badge.stopped").first().waitFor();

  await s.goto("#/devices");
  await s.page.getByRole("button", { name: "New device" }).click();
  await dialog(s).getByLabel("Model").selectOption("page-sensor");
  await dialog(s).getByLabel("Device id").fill("lonely");
  await dialog(s).getByRole("button", { name: "Create" }).click();
  await s.page.getByRole("heading", { level: 1, name: "lonely" }).waitFor();
  await s.page.locator(".badge.created").first().waitFor();
  s.forgive.push(/status of 404 .*\/lonely/); // the page may ask once more for what is just being deleted
  await s.page.getByRole("button", { name: "Delete" }).click();
  await dialog(s).getByRole("button", { name: "Delete" }).click();
  await s.page.getByRole("heading", { level: 1, name: "Devices" }).waitFor();
}

/** Thousands of changes at once stay readable: filtered, held, bounded. */
export async function events(s) {
  await api(s, "POST", "/api/v1/groups", { modelId: "page-sensor", count: 3000, groupId: "burst" });
  await s.open();
  await s.live();
  await s.goto("#/events");
  await s.live();
  await api(s, "POST", "/api/v1/groups/burst/start", { strategy: "immediate" });
  await s.page.getByText(/burst: [\d,]+ devices are running/).first().waitFor();
  const lines = await s.page.locator(".stream li").count();
  check(lines > 0 && lines <= 100, `${lines} events are drawn`);
  await s.page.getByLabel("States").uncheck();
  check((await s.page.locator(".stream .kind", { hasText: /^state$/ }).count()) === 0, "states are shown all the same");
  await s.page.getByText(/burst: start.* (began|done)/).first().waitFor();
  await s.page.getByLabel("States").check();
  const someone = /burst-\d+/.exec(await s.page.locator(".stream small").first().textContent())[0];
  await s.page.getByLabel("Containing").fill(someone);
  await s.until((id) => [...document.querySelectorAll(".stream li")].length > 0 &&
    [...document.querySelectorAll(".stream li")].every((li) => li.textContent.includes(id)), someone, "the filter to hold");
  await s.page.getByLabel("Containing").fill("");
  await s.page.getByRole("button", { name: "Pause" }).click();
  const before = await s.page.locator(".stream").textContent();
  await api(s, "POST", "/api/v1/groups/burst/stop");
  await s.page.getByRole("button", { name: /Go on \([1-9]/ }).waitFor();
  check((await s.page.locator(".stream").textContent()) === before, "what was held has moved");
  await s.page.getByRole("button", { name: /Go on/ }).click();
  await s.page.getByText(/burst: [\d,]+ devices are stop/).first().waitFor();
  await s.goto("#/groups/burst");
  await s.until(() => /3,000 stopped/.test(document.querySelector(".meter")?.ariaLabel), null, "3,000 stopped devices");
}

/** Nothing but keys: a group is created, started, looked at; dialogs keep the focus and give it back. */
export async function keyboard(s) {
  await s.open();
  await s.live();
  const focused = () => s.page.evaluate(() => {
    const e = document.activeElement;
    return (e.labels?.[0]?.textContent || e.ariaLabel || e.textContent || e.tagName).trim();
  });
  const tabTo = async (name) => {
    for (let i = 0; i < 60; i++) {
      await s.page.keyboard.press("Tab");
      if (name.test(await focused())) {
        const seen = await s.page.evaluate(() => {
          const style = getComputedStyle(document.activeElement);
          return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
        });
        check(seen, `the focus on "${await focused()}" can't be seen`);
        return;
      }
    }
    check(false, `no way to ${name} by Tab`);
  };
  await s.page.keyboard.press("Tab");
  check((await focused()) === "Skip to content", `the first stop is "${await focused()}"`);
  await tabTo(/^Groups$/);
  await s.page.keyboard.press("Enter");
  await s.page.getByRole("heading", { level: 1, name: "Groups" }).waitFor();
  await s.until(() => document.activeElement.tagName === "H1", null, "the focus on the view's title");
  await tabTo(/^New group$/);
  await s.page.keyboard.press("Enter");
  await dialog(s).waitFor();
  await s.until(() => document.querySelectorAll("dialog option").length > 0, null, "models to choose from");
  for (let i = 0; i < 12; i++) {
    await s.page.keyboard.press("Tab");
    const inside = await s.page.evaluate(() => document.activeElement === document.body ||
      document.activeElement.closest("dialog") !== null);
    check(inside, "the focus leaves the dialog");
  }
  await s.page.keyboard.press("Escape");
  await dialog(s).waitFor({ state: "detached" });
  check(/New group/.test(await focused()), `the focus came back to "${await focused()}"`);

  await s.page.keyboard.press("Enter");
  await dialog(s).waitFor();
  await s.until(() => document.querySelectorAll("dialog option").length > 0, null, "models to choose from");
  if (!/^Model/.test(await focused())) await tabTo(/^Model/);
  await s.page.keyboard.type("Page sensor");
  await tabTo(/^Number of devices/);
  await s.page.keyboard.press("Control+A");
  await s.page.keyboard.type("4");
  await tabTo(/^Group id/);
  await s.page.keyboard.type("keys");
  await s.page.keyboard.press("Enter");
  await s.page.getByRole("heading", { level: 1, name: "keys", exact: true }).waitFor();
  await dialog(s).waitFor({ state: "detached" });
  await tabTo(/^Start keys$/);
  await s.page.keyboard.press("Enter");
  await dialog(s).getByRole("radio", { name: /^linear/ }).waitFor();
  await s.until(() => document.querySelector("dialog").contains(document.activeElement), null, "the focus in the dialog");
  await tabTo(/^immediate.*recommended/);
  await s.page.getByText("4 devices started at once").waitFor();
  await s.page.keyboard.press("ArrowDown");
  await s.page.getByText("4 devices started within 30 ms").waitFor();
  await tabTo(/^Start$/);
  await s.page.keyboard.press("Enter");
  await s.until(() => /4 running/.test(document.querySelector(".meter")?.ariaLabel), null, "4 running devices");
}

const VIEWS = ["#/overview", "#/groups", "#/groups/shown", "#/devices", "#/devices/shown-1", "#/models",
  "#/models/page-actuator", "#/events"];

async function shown(s) {
  await api(s, "POST", "/api/v1/groups", { modelId: "page-actuator", count: 40, groupId: "shown" });
  await api(s, "POST", "/api/v1/groups/shown/start", { strategy: "immediate" });
}

/** Every view on a phone of 360 pixels: nothing to scroll sideways, everything in reach. */
export async function phone(s) {
  await shown(s);
  await s.open({ width: 360, height: 740 });
  await s.live();
  for (const view of VIEWS) {
    await s.goto(view);
    await s.page.locator("main .card, main .editor").first().waitFor();
    await s.noSideways(view);
  }
  await s.goto("#/groups");
  for (const name of ["New group", "Drop out devices of shown"]) {
    await s.page.getByRole("button", { name }).click();
    await dialog(s).waitFor();
    await s.noSideways(`dialog ${name}`);
    const inside = await dialog(s).evaluate((d) => d.scrollWidth <= d.clientWidth);
    check(inside, `the dialog ${name} scrolls sideways`);
    await s.page.keyboard.press("Escape");
    await dialog(s).waitFor({ state: "detached" });
  }
  await s.page.getByRole("link", { name: "Events" }).click();
  await s.page.getByRole("heading", { level: 1, name: "Events" }).waitFor();
}

/** Dark where the system is, the other one by the switch, kept over a reload; charts in the same colours. */
export async function colours(s) {
  await shown(s);
  await s.open({ colorScheme: "dark", reducedMotion: "reduce" });
  await s.live();
  const dark = () => s.page.evaluate(() => {
    const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
    return r + g + b < 200;
  });
  check(await dark(), "a dark system gets a light page");
  await s.untilFigure("Running", "40");
  await s.untilPainted("Devices by state", "--running", 100);
  const still = await s.page.locator("button").first().evaluate((b) => getComputedStyle(b).transitionDuration);
  check(still === "0s", "there is motion for those who want none");
  await s.page.getByRole("button", { name: "Switch to light colours" }).click();
  check(!(await dark()), "the switch to light does nothing");
  await s.untilPainted("Devices by state", "--running", 100);
  await s.page.reload();
  await s.live();
  check(!(await dark()), "the choice is forgotten at a reload");
  await s.page.getByRole("button", { name: "Switch to dark colours" }).click();
  check(await dark(), "the switch to dark does nothing");
}

/** No fault of accessibility in any view and dialog; in the dark, contrasts are looked at again. */
export async function accessible(s) {
  s.forgive.push(/status of (400|404)/);
  await shown(s);
  await s.open({ reducedMotion: "reduce" });
  await s.live();
  await s.untilFigure("Running", "40");
  const everywhere = async (scheme, rules) => {
    await s.page.emulateMedia({ colorScheme: scheme });
    for (const view of [...VIEWS, "#/nothing-here", "#/devices/nobody"]) {
      await s.goto(view);
      await s.page.locator("main .card, main .editor, main .problem").first().waitFor();
      await s.accessible(`${view}, ${scheme}`, rules);
    }
    await s.goto("#/models/new");
    await s.page.getByLabel("Model as JSON").fill(FAULTY);
    await s.page.getByRole("heading", { name: "2 faults" }).waitFor();
    await s.accessible(`faulty model, ${scheme}`, rules);
    await s.goto("#/groups/shown");
    for (const name of ["Start shown", "Drop out devices of shown", "Delete shown"]) {
      if (name === "Start shown") await api(s, "POST", "/api/v1/groups/shown/stop");
      else if (name.startsWith("Drop")) await api(s, "POST", "/api/v1/groups/shown/start", { strategy: "immediate" });
      await s.page.getByRole("button", { name }).click();
      await dialog(s).waitFor();
      await s.accessible(`dialog ${name}, ${scheme}`, rules);
      await s.page.keyboard.press("Escape");
      await dialog(s).waitFor({ state: "detached" });
    }
  };
  await everywhere("light");
  await everywhere("dark", ["color-contrast"]);
}

/** The service goes away and comes back: no stale figure passes for a live one, and the page recovers by itself. */
export async function restart(s) {
  s.forgive.push(/ERR_|status of 503/);
  await api(s, "POST", "/api/v1/groups", { modelId: "page-sensor", count: 10, groupId: "kept" });
  await api(s, "POST", "/api/v1/groups/kept/start", { strategy: "immediate" });
  await s.open();
  await s.untilFigure("Running", "10");
  await s.page.evaluate(() => {
    window.sameDocument = true;
  });
  await ask("stop");
  await s.page.getByText("The service does not answer").waitFor();
  await s.page.getByText("Not connected").waitFor();
  const faded = await s.page.locator(".figures").evaluate((e) => Number(getComputedStyle(e).opacity));
  check(faded < 0.8, "figures look live while nobody is connected");
  await s.page.getByRole("link", { name: "Groups", exact: true }).click();
  await s.page.getByRole("heading", { level: 1, name: "Groups" }).waitFor();
  await s.page.getByRole("link", { name: "Overview", exact: true }).click();
  await ask("start");
  await s.page.getByText("The service does not answer").waitFor({ state: "detached" });
  await s.live();
  await s.untilFigure("Running", "10");
  check(await s.page.evaluate(() => window.sameDocument === true), "it took a reload");
  await s.page.getByRole("link", { name: "Groups", exact: true }).click();
  await row(s, "kept").waitFor();
}

/** The API's documentation: every operation, under the same policy. */
export async function documentation(s) {
  await s.open();
  await s.page.goto(`${s.address}/docs`);
  await s.page.locator(".opblock").first().waitFor();
  const { paths } = await (await fetch(`${s.address}/openapi.json`)).json();
  const all = Object.values(paths).reduce((n, p) => n + Object.keys(p).filter((m) => /^(get|put|post|delete)$/.test(m)).length, 0);
  const listed = await s.page.locator(".opblock").count();
  check(listed === all, `${listed} of ${all} operations are shown`);
  await s.page.locator(".opblock-summary", { hasText: "Figures of the whole service" }).click();
  await s.page.getByRole("button", { name: "Execute" }).click();
  await s.page.getByText("runningDeviceCount").first().waitFor();
}
