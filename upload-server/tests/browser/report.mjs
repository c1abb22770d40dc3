// A report in a browser, from the disk: it asks for nothing but itself, and nothing in it acts.
//
// node report.mjs MODULES SHOTS NAME FILE
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { look, run } from "./browser.mjs";

const [modules, shots, name, report] = process.argv.slice(2);
const address = pathToFileURL(report).href;

/** With more, pictures of the whole page are too large. */
const MOST_IN_A_PICTURE = 30;

async function scenario(browser) {
  const { page } = browser;
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  page.on("dialog", (dialog) => assert.fail(`a dialog: ${dialog.message()}`));
  const begun = Date.now();
  await page.goto(address);
  const took = Date.now() - begun;
  const connections = page.locator(".connections > li");
  const count = await connections.count();
  console.log(JSON.stringify({ connections: count, opened_ms: took }));
  assert.ok((await page.title()).startsWith(`What TCP did: ${count} connection`));
  assert.equal(await page.locator("script, iframe, object, img, form, [onload], [onerror]").count(), 0);
  await filters(page, connections);

  const first = connections.first();
  await first.locator("summary").first().click();
  await first.getByRole("heading", { name: "Step by step" }).waitFor();
  await plots(first);
  await explained(first.locator(".steps > li").first());
  if (count <= MOST_IN_A_PICTURE) {
    for (const other of (await connections.all()).slice(1, 3)) {
      await other.locator("summary").first().click();
    }
    await look(browser, shots, `report-${name}`);
  } else {
    await widths(page);
  }
  assert.deepEqual([...new Set(asked)].filter((url) => url !== address && url !== "data:,"), []);
  assert.equal(page.url(), address);
}

/** What a step means is beside it when the mouse is, and when the keyboard is; and it is what describes it. */
async function explained(step) {
  const page = step.page();
  const described = await step.evaluate((one) => {
    const { textContent } = document.getElementById(one.getAttribute("aria-describedby"));
    return textContent;
  });
  assert.match(described, /^The client asks to open a connection.* Known by: /);
  const shown = () => step.evaluate((one) => getComputedStyle(one, "::after").content);
  assert.equal(await shown(), "none");
  await step.focus();
  assert.equal(await shown(), JSON.stringify(described));
  await step.blur();
  assert.equal(await shown(), "none");
  await step.hover();
  assert.equal(await shown(), JSON.stringify(described));
  assert.equal(await page.locator(".steps p:visible").count(), 0);
}

/** Each plot has its lines, all of them within its area, and as many entries in words. */
async function plots(connection) {
  for (const figure of await connection.locator(".plots figure").all()) {
    const lines = figure.locator("path");
    const count = await lines.count();
    assert.ok(count > 0);
    assert.equal(await figure.locator("li").count(), count);
    const area = await figure.locator("svg").boundingBox();
    assert.ok(area.height >= 100 && area.width >= 200, JSON.stringify(area));
    for (const line of await lines.all()) {
      assert.match(await line.getAttribute("d"), /^M\d+ \d+[\d hvMl-]+$/);
      const drawn = await line.boundingBox();
      assert.ok(drawn.x >= area.x - 2 && drawn.x + drawn.width <= area.x + area.width + 2);
      assert.ok(drawn.y >= area.y - 2 && drawn.y + drawn.height <= area.y + area.height + 2);
    }
  }
}

/** Each button shows as many connections as its label says; the keyboard moves between them. */
async function filters(page, connections) {
  for (const group of await page.locator("fieldset").all()) {
    for (const label of await group.locator("label").all()) {
      const announced = Number(/\((\d+)\)$/.exec(await label.textContent())[1]);
      await label.locator("input").check();
      assert.equal(await visible(connections), announced);
    }
    await group.locator("input").first().check();
  }
  if ((await page.locator("fieldset").count()) < 2) return;
  const nothing = page.locator(".nothing");
  for (const phase of await page.locator("[name=phase]").all()) {
    await phase.check();
    for (const verdict of await page.locator("[name=verdict]").all()) {
      await verdict.check();
      const isEmpty = (await visible(connections)) === 0;
      assert.equal(await nothing.isVisible(), isEmpty);
    }
  }
  for (const group of await page.locator("fieldset").all()) {
    await group.locator("input").first().check();
  }
}

const visible = (connections) =>
  connections.evaluateAll((all) => all.filter((one) => one.getClientRects().length > 0).length);

/** Of many connections, what a window shows. */
async function widths(page) {
  mkdirSync(shots, { recursive: true });
  for (const width of [360, 1600]) {
    await page.setViewportSize({ width, height: 900 });
    await page.screenshot({ path: join(shots, `report-${name}-${width}.png`) });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= width, `${width} px: the page is ${wide} px wide`);
  }
}

await run(scenario, `report-${name}`, { modules, shots });
