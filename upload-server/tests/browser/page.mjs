// What users do on the upload page.
//
// node page.mjs MODULES SHOTS DIRECTORY URL SCENARIO
import assert from "node:assert/strict";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { drop, file as fileIn, item, look, run, throttle } from "./browser.mjs";

const [modules, shots, directory, url, scenario] = process.argv.slice(2);

const file = (name, bytes) => fileIn(directory, name, bytes);
const state = (page, name) => item(page, name).locator(".state");

const scenarios = {
  async drops_three_files(browser) {
    const { context, page } = browser;
    await page.goto(url);
    await look(browser, shots, "empty");
    const unthrottle = await throttle(context, page, 20e6);
    await drop(context, page, [file("large.bin", 100e6), file("<b>&.txt", 5), file("none", 0)]);
    await state(page, "large.bin").getByText(/ of 100 MB, .*\/s, .* left/).waitFor();
    await look(browser, shots, "sending");
    const seen = new Set();
    while (seen.size < 3) seen.add(await page.locator("progress").first().evaluate((p) => p.value));
    await unthrottle();
    for (const name of ["large.bin", "<b>&.txt", "none"]) {
      await item(page, name).and(page.locator(".complete")).waitFor();
    }
    await state(page, "<b>&.txt").getByText("Stored as <b>&.txt: 5 B").waitFor();
    assert.equal(await page.locator("#items b").count(), 0);
    // The lists refresh by themselves.
    await page.locator("#lists").getByText("<b>&.txt").first().waitFor();
    await look(browser, shots, "stored");

    await page.locator("#choose").setInputFiles([join(directory, "none")]);
    const second = page.locator("#items .item").last();
    await second.getByText("Stored as none (1), because its name existed already").waitFor();
    const download = page.waitForEvent("download");
    await second.getByRole("link", { name: "none (1)", exact: true }).click();
    assert.equal((await download).suggestedFilename(), "none (1)");
  },

  async cancels_and_retries(browser) {
    const { context, page } = browser;
    await page.goto(url);
    const unthrottle = await throttle(context, page, 2e6);
    const names = ["large.bin", "small.bin"];
    await page.locator("#choose").setInputFiles([file(names[0], 40e6), file(names[1], 4e6)]);
    for (const name of names) {
      await state(page, name).getByText(/ of .*\/s, .* left/).waitFor();
      await page.getByRole("button", { name: `Cancel ${name}` }).click();
      await state(page, name).getByText(/^Cancelled after .* of /).waitFor();
    }
    await look(browser, shots, "cancelled");
    await unthrottle();
    for (const name of names) {
      await page.getByRole("button", { name: `Retry ${name}` }).click();
      await item(page, name).and(page.locator(".complete")).waitFor();
      await page.getByRole("button", { name: `Hide ${name}` }).click();
    }
    assert.equal(await page.locator("#here").isVisible(), false);
  },

  /** A proxy breaks every connection after some megabytes. */
  async goes_on_where_it_broke_off({ page }) {
    await page.goto(url);
    await page.locator("#choose").setInputFiles([file("large.bin", 40e6)]);
    await state(page, "large.bin").getByText(/^Retrying in /).waitFor();
    await item(page, "large.bin").and(page.locator(".complete")).waitFor();
  },

  /** A reloaded page resumes, too. */
  async goes_on_after_a_reload(browser) {
    const { context, page } = browser;
    await page.goto(url);
    const unthrottle = await throttle(context, page, 10e6);
    const path = file("large.bin", 40e6);
    await page.locator("#choose").setInputFiles([path]);
    await state(page, "large.bin").getByText(/^[5-9]\.\d MB of .* left/).waitFor();
    page.on("dialog", (dialog) => dialog.accept());
    await page.reload();
    await unthrottle();
    const offset = page.waitForRequest((request) => request.method() === "PATCH");
    await page.locator("#choose").setInputFiles([path]);
    const from = Number((await (await offset).allHeaders())["upload-offset"]);
    assert.ok(from > 0, `begins at ${from}`);
    await item(page, "large.bin").and(page.locator(".complete")).waitFor();
  },

  async shows_why_an_upload_failed(browser) {
    const { page } = browser;
    await page.goto(url);
    // The server accepts 1 MB, and no name twice.
    const files = [file("taken", 9), file(".hidden", 9), file("large.bin", 2e6)];
    mkdirSync(join(directory, "folder"));
    await page.locator("#choose").setInputFiles([files[0]]);
    await item(page, "taken").and(page.locator(".complete")).waitFor();
    await page.getByRole("button", { name: "Hide" }).click();
    await drop(browser.context, page, [...files, join(directory, "folder")]);
    const shows = (name, words) => state(page, name).getByText(words).waitFor();
    await shows("taken", "Not stored: a file of this name exists already");
    await shows(".hidden", "Not stored: the name is not accepted: it begins with a '.'");
    await shows("large.bin", "Not stored: it has 2.0 MB, and this server accepts at most 1.0 MB");
    await shows("folder", "Not stored: it is a folder, or cannot be read");
    await look(browser, shots, "refused");
  },

  /** All files of the folder at once. */
  async stores_a_folder({ page }) {
    const files = readdirSync(directory).map((name) => join(directory, name));
    await page.goto(url);
    await page.locator("#choose").setInputFiles(files);
    // A locator would search the long list in each frame.
    await page.evaluate(
      (count) =>
        new Promise((resolve) => {
          const items = document.getElementById("items");
          const check = () => {
            if (items.querySelectorAll(".complete").length === count) resolve();
          };
          new MutationObserver(check).observe(items, { subtree: true, attributeFilter: ["class"] });
          check();
        }),
      files.length,
    );
  },

  /** Without a tracer, there is no chart. */
  async shows_that_no_tracer_is_attached(browser) {
    const { page } = browser;
    await page.goto(url);
    await page.getByText("No tracer is attached").waitFor();
    await page.locator("#choose").setInputFiles([file("small.bin", 9)]);
    await item(page, "small.bin").and(page.locator(".complete")).waitFor();
    assert.equal(await page.locator("svg").count(), 0);
    await page.getByRole("link", { name: "What is known of small.bin" }).click();
    await page.getByText("No tracer is attached to this server").waitFor();
    await page.getByText("sudo tracer").waitFor();
    assert.equal(await page.locator("svg").count(), 0);
    await look(browser, shots, "untraced");
    await page.goto(new URL("/t/2", url).href);
    await page.getByRole("heading", { name: "No such upload" }).waitFor();
    await look(browser, shots, "no-such-upload");
  },

  /** The page of an upload that came through two proxies: each hop has a lane, and what a proxy held one between. */
  async shows_the_way(browser) {
    const { page } = browser;
    await page.goto(new URL("/t/1", url).href);
    await page.getByRole("heading", { name: "The way of this upload" }).waitFor();
    const lanes = page.locator(".way .bars li");
    const labels = [/^hop 1: /, /^held by <nginx>/, /^hop 2: /, /^held by haproxy/, /^hop 3: /];
    assert.equal(await lanes.count(), labels.length);
    for (const [at, label] of labels.entries()) {
      assert.match(await lanes.nth(at).innerText(), label);
    }
    const edges = async (lane, part) => {
      const { x, width } = await lanes.nth(lane).locator(part).boundingBox();
      return [x, x + width].map(Math.round);
    };
    const [begins, passes] = await edges(1, "rect");
    assert.deepEqual((await edges(0, ".body"))[0], begins);
    assert.ok(Math.abs((await edges(2, ".body"))[0] - passes) <= 1, "hop 2 begins where nginx passes it on");
    await look(browser, shots, "way");
  },

  async needs_no_script(browser) {
    const { page } = browser;
    await page.goto(url);
    const chosen = [file("<i>one", 10), file("two", 3e6)];
    await page.getByLabel("Choose files").setInputFiles(chosen);
    await page.getByRole("button", { name: "Upload" }).click();
    await page.getByRole("link", { name: "<i>one", exact: true }).first().waitFor();
    await page.getByRole("link", { name: "two", exact: true }).first().waitFor();
    assert.equal(await page.locator("#lists i").count(), 0);
    assert.equal(await page.getByText("drop them anywhere").isVisible(), false);
    // axe is a script, too.
    await look({ page }, shots, "without-script");
    await page.getByRole("link", { name: "details of two" }).click();
    await page.getByText("All that is known agrees").waitFor();
  },

  /** The user enters the token in the browser's dialog, not on the page. */
  async knows_the_token({ page }) {
    await page.goto(url);
    await page.locator("#choose").setInputFiles([file("small.bin", 9), file("large.bin", 20e6)]);
    for (const name of ["small.bin", "large.bin"]) {
      await item(page, name).and(page.locator(".complete")).waitFor();
    }
  },

  /** The keyboard alone is enough. */
  async needs_no_mouse({ context, page }) {
    // Set up before the page loads: Chromium enables the interception some time later, silently.
    const chooser = page.waitForEvent("filechooser");
    await page.goto(url);
    const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.id), "choose");
    await page.keyboard.press("Space");
    const unthrottle = await throttle(context, page, 1e6);
    await (await chooser).setFiles([file("small.bin", 4e6)]);
    await state(page, "small.bin").getByText(/ left$/).waitFor();
    await page.keyboard.press("Tab");
    assert.equal(await focused(), "Cancel small.bin");
    await page.keyboard.press("Enter");
    await state(page, "small.bin").getByText("Cancelled").waitFor();
    assert.equal(await focused(), "Retry small.bin");
    await unthrottle();
    await page.keyboard.press("Enter");
    await item(page, "small.bin").and(page.locator(".complete")).waitFor();
    assert.equal(await focused(), "Hide small.bin");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "choose");
  },
};

const options = {
  knows_the_token: { httpCredentials: { username: "anybody", password: "0123456789abcdef" } },
  needs_no_script: { javaScriptEnabled: false },
};

await run(scenarios[scenario], scenario, { modules, shots, options: options[scenario] });
