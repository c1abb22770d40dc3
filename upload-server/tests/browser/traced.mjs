// What users see of their uploads while a tracer is attached.
//
// node traced.mjs MODULES SHOTS DIRECTORY URL SCENARIO
//
// Its stdout is for its caller, one JSON object a line. After an `ask`, it waits for the caller.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";

import { drop, file, item, look, run, throttle } from "./browser.mjs";

const [modules, shots, directory, url, scenario] = process.argv.slice(2);

const LIMIT_MS = 500;

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

function report(what) {
  console.log(JSON.stringify(what));
}

/** Asks the caller to do something, and waits until it is done. */
async function ask(what) {
  report({ ask: what });
  await answers.next();
}

const state = (page, name) => item(page, name).locator(".state");
const chart = (page, name) => item(page, name).locator(".chart");

/** Records within the page when each upload ended, and when its timeline was there. */
function watch(page) {
  return page.evaluate(() => {
    globalThis.seen = {};
    const look = () => {
      for (const element of document.querySelectorAll("#items .item")) {
        const name = element.querySelector("h3").textContent;
        const own = (globalThis.seen[name] ??= {});
        const ended = element.matches(".complete, .cancelled, .failed");
        if (ended) own.ended ??= performance.now();
        if (element.querySelector(".chart")) own.shown ??= performance.now();
      }
    };
    const watched = { childList: true, subtree: true, attributeFilter: ["class"] };
    new MutationObserver(look).observe(document.getElementById("items"), watched);
  });
}

/** Reports after how many milliseconds each timeline was there. The page is never reloaded. */
async function waited(page, names) {
  for (const name of names) await chart(page, name).first().waitFor();
  const seen = await page.evaluate(() => globalThis.seen);
  for (const name of names) {
    const ms = Math.max(seen[name].shown - seen[name].ended, 0);
    report({ name, timeline_after_ms: Math.round(ms * 10) / 10 });
    assert.ok(ms < LIMIT_MS, `${name}: the timeline came after ${ms} ms`);
  }
}

/** The address of each upload's page. */
async function addresses(page, names) {
  const ways = names.map((name) => item(page, name).locator(".timeline a").last());
  return Promise.all(ways.map((way) => way.evaluate((link) => link.href)));
}

/** Opens the page of an upload, and returns the upload's record. */
async function open(page, address) {
  await page.goto(address);
  const record = await page.evaluate(async () => (await fetch(`${location.href}.json`)).json());
  report({ upload: record.upload.id, timelines: record.timelines });
  return record;
}

/** A count as the page writes it. */
const bytes = (number) =>
  number === null ? "unknown" : `${number.toString().replace(/\B(?=(\d{3})+$)/g, ",")} B`;

/** A segment's numbers and options in the order of Wireshark's Info column. */
function segment({ seq, ack, window, len, options = {} }) {
  const { mss, sack_permitted, tsval, tsecr, window_scale } = options;
  const numbers = { Seq: seq, Ack: ack, Win: window, Len: len, MSS: mss };
  const known = Object.entries(numbers).filter(([, number]) => number !== undefined);
  const parts = known.map(([name, number]) => `${name}=${number}`);
  if (sack_permitted) parts.push("SACK_PERM");
  if (tsval !== undefined) parts.push(`TSval=${tsval} TSecr=${tsecr}`);
  if (window_scale !== undefined) parts.push(`WS=${2 ** window_scale}`);
  return parts.join(" ");
}

/** The page agrees with the NDJSON of the same upload. */
async function compare(page, { upload, timelines }) {
  const lines = await page.evaluate(async () => (await fetch(`${location.href}.ndjson`)).text());
  assert.deepEqual(lines.trim().split("\n").map((line) => JSON.parse(line)), timelines);
  const sections = page.locator("article > section").filter({ has: page.locator(".chart") });
  assert.equal(await sections.count(), timelines.length);
  const ordered = timelines.toSorted((one, other) => one.mono_ns - other.mono_ns);
  for (const [number, timeline] of ordered.entries()) {
    const section = sections.nth(number);
    const steps = timeline.phases.flatMap((phase) => phase.steps ?? []);
    const expected = steps.map((step) => {
      const back = step.from !== "client";
      const way = back ? "the server to the client" : "the client to the server";
      return `from ${way}: ${step.name} ${segment(step)}`;
    });
    const shown = await section.locator(".steps > li > div").allTextContents();
    assert.deepEqual(shown.filter((text) => text.includes("Seq=")), expected);
    for (const exchange of timeline.phases[1].exchanges.slice(0, 100)) {
      const { sequence, request, body, response } = exchange;
      const row = section.getByRole("row").filter({
        has: page.getByRole("rowheader", { name: `${sequence}. ${request.method} ` }),
      });
      const headings = await section.locator(".requests thead th").allTextContents();
      const cell = (heading) => row.locator(`:nth-child(${headings.indexOf(heading) + 1})`).innerText();
      assert.equal(await cell("Status"), `${response.status ?? "unknown"}`);
      if (body.bytes !== null) assert.equal(await cell("Bytes"), bytes(body.bytes));
      else assert.match(await cell("Bytes"), /^(none seen|unknown)$/);
      assert.equal(/this upload/.test(await row.innerText()), exchange.upload === upload.id);
    }
  }
  const counts = page.locator(".integrity td:nth-child(2)");
  const sent = timelines.flatMap(({ phases }) => phases[1].exchanges);
  const own = sent.filter((exchange) => exchange.upload === upload.id);
  const acknowledged = own.map(({ body }) => body.acknowledged);
  const sum = acknowledged.includes(null) ? null : acknowledged.reduce((a, b) => a + b, 0);
  const numbers = [upload.content_length, upload.bytes, upload.stored_bytes, sum];
  assert.deepEqual(await counts.allInnerTexts(), numbers.map(bytes));
}

const scenarios = {
  async three_uploads_are_shown(browser) {
    const { context, page } = browser;
    await page.goto(url);
    await page.getByText("The tracer is attached").waitFor();
    await watch(page);
    const names = ["large.bin", "<b>&.txt", "middle.bin"];
    const sizes = [100e6, 5, 5e6];
    await drop(context, page, names.map((name, at) => file(directory, name, sizes[at])));
    for (const name of names) await item(page, name).and(page.locator(".complete")).waitFor();
    await waited(page, names);
    await look(browser, shots, "traced");
    const ways = await addresses(page, names);
    for (const [at, way] of ways.entries()) {
      const record = await open(page, way);
      assert.equal(record.upload.bytes, sizes[at]);
      assert.equal(record.upload.stored_bytes, sizes[at]);
      await compare(page, record);
      await page.getByText("All four agree").waitFor();
    }
    await page.goto(ways[0]);
    await look(browser, shots, "timeline");
    // The link to all uploads, what held it back where something did, then the first step.
    const stops = "a, summary";
    await page.keyboard.press("Tab");
    while (await page.locator(":focus").and(page.locator(stops)).count()) {
      await page.keyboard.press("Tab");
    }
    await page.getByText("The client asks to open a connection").waitFor();
    await look(browser, shots, "explained");
    await page.keyboard.press("Escape");
    assert.equal(await page.locator(".steps p:visible").count(), 0);
  },

  async cancels(browser) {
    const { context, page } = browser;
    await page.goto(url);
    await page.getByText("The tracer is attached").waitFor();
    const unthrottle = await throttle(context, page, 2e6);
    await watch(page);
    const names = ["large.bin", "small.bin"];
    const sizes = [40e6, 8e6];
    const chosen = names.map((name, at) => file(directory, name, sizes[at]));
    await page.locator("#choose").setInputFiles(chosen);
    for (const name of names) {
      await state(page, name).getByText(/ of .*\/s, .* left/).waitFor();
      await page.getByRole("button", { name: `Cancel ${name}` }).click();
    }
    await waited(page, names);
    await unthrottle();
    const who = /^termination: the (client|server) (closed first|reset it)$/;
    for (const name of names) {
      const shown = item(page, name).locator(".timeline");
      await shown.getByText("aborted", { exact: true }).waitFor();
      await shown.getByText("The upload was cut short").waitFor();
      await shown.getByText(who).waitFor();
      report({ name, closed: await shown.getByText(who).innerText() });
    }
    await look(browser, shots, "aborted-here");
    const ways = await addresses(page, names);
    for (const [at, way] of ways.entries()) {
      const { upload, timelines } = await open(page, way);
      assert.equal(upload.outcome, "aborted");
      await page.locator(".summary").getByText("aborted").waitFor();
      const closed = timelines.at(-1).phases[2].closed_first;
      await page.getByRole("cell").getByText(`the ${closed}`).first().waitFor();
      await look(browser, shots, `aborted-${names[at]}`);
    }
  },

  /** What held an upload back is a bar, a ribbon on the chart's axis, and words. */
  async shows_what_held_it_back(browser) {
    const { context, page } = browser;
    await page.goto(url);
    await page.getByText("The tracer is attached").waitFor();
    await throttle(context, page, 4e6);
    await watch(page);
    const name = "throttled.bin";
    await page.locator("#choose").setInputFiles([file(directory, name, 8e6)]);
    await item(page, name).and(page.locator(".complete")).waitFor();
    await waited(page, [name]);
    const [way] = await addresses(page, [name]);
    const { upload, timelines } = await open(page, way);
    const { diagnosis } = timelines.at(-1).uploads.find(({ id }) => id === upload.id);
    assert.equal(diagnosis.verdict, "client_application");
    const row = page.locator(".chart li").filter({ hasText: "held back by" });
    const titles = await row.locator("use > title").allTextContents();
    assert.equal(titles.length, diagnosis.course.length);
    assert.ok(titles.some((title) => title.startsWith("the client's process, from +")));
    const [chart, ribbon] = await Promise.all(
      [row, row.locator("svg")].map((part) => part.boundingBox()),
    );
    assert.ok(ribbon.width > 0.9 * chart.width, "the ribbon is as wide as the chart");
    for (const part of ["Which cause ruled when", "What that means"]) {
      await page.getByText(part, { exact: true }).click();
    }
    await page.getByRole("rowheader", { name: "the client's process" }).first().waitFor();
    await page.getByText(/% client_application, /).waitFor();
    await look(browser, shots, "held-back");
    await page.getByRole("link", { name: /^the client's process \d+ %$/ }).click();
    await page.locator(".evidence :target").getByText("Rate of the body").waitFor();
  },

  /** What the tracer did not see is shown as unknown, with the reason. */
  async another_tracer_takes_over(browser) {
    const { context, page } = browser;
    await page.goto(url);
    await page.getByText("The tracer is attached").waitFor();
    const unthrottle = await throttle(context, page, 1e6);
    await watch(page);
    await page.locator("#choose").setInputFiles([file(directory, "middle.bin", 15e6)]);
    await state(page, "middle.bin").getByText(/ of .*\/s, .* left/).waitFor();
    await ask("stop the tracer");
    await page.getByText("No tracer is attached").waitFor();
    await look(browser, shots, "untraced-here");
    await ask("start the tracer");
    await page.getByText("The tracer is attached").waitFor();
    await unthrottle();
    await item(page, "middle.bin").and(page.locator(".complete")).waitFor();
    await waited(page, ["middle.bin"]);
    const shown = item(page, "middle.bin").locator(".timeline");
    const why = "unknown: it began before the tracer did";
    await shown.locator(".bars span").getByText(why).waitFor();
    await look(browser, shots, "half-traced-here");
    const [way] = await addresses(page, ["middle.bin"]);
    const { upload, timelines } = await open(page, way);
    assert.equal(timelines[0].complete, false);
    // The server's times also cover the time before the second tracer.
    const { body } = timelines[0].phases[1].exchanges.at(-1);
    assert.equal(body.end_ns - body.start_ns, upload.body_last_ns - upload.body_first_ns);
    await look(browser, shots, "half-traced");
  },

  /** The page of an upload on a connection that stays open is complete once that is closed. */
  async renews_itself({ page }) {
    await ask("upload");
    await page.goto(new URL("/t/1", url).href);
    await page.locator(".bars span").getByText("unknown: still open").waitFor();
    await page.evaluate(() => (globalThis.sameDocument = true));
    await page.locator(".steps > li").nth(1).focus();
    await ask("close");
    await page.getByText("termination: the client closed first").first().waitFor();
    assert.equal(await page.evaluate(() => globalThis.sameDocument), true);
    await page.locator(".steps > li:focus").getByText("SYN-ACK").waitFor();
    report({ upload: "1", timelines: [] });
  },
};

await run(scenarios[scenario], scenario, { modules, shots });
process.exit();
