// Chromium, driven as a person would, and what each page has to be whoever reads it.
//
// Found by its place: `modules` is the folder where `cargo xtask test` puts the packages.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--no-proxy-server",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** The widths and colours that every state is to be read in. */
const LOOKS = [
  { width: 360, colorScheme: "light" },
  { width: 360, colorScheme: "dark" },
  { width: 1600, colorScheme: "light" },
  { width: 1600, colorScheme: "dark" },
];

/** A browser of its own, with an empty profile; `close` it. */
async function launch(modules, options = {}) {
  const require = createRequire(join(modules, "playwright-core/"));
  const { chromium } = require("playwright-core");
  const axe = readFileSync(join(modules, "axe-core/node_modules/axe-core/axe.min.js"), "utf8");
  const profile = mkdtempSync(join(tmpdir(), "browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: "/usr/bin/chromium",
    args: ARGUMENTS,
    viewport: { width: 1280, height: 900 },
    ...options,
  });
  context.setDefaultTimeout(30_000);
  const page = context.pages()[0];
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => {
    // A refused request is said there, too; what is to be seen of it is the page's.
    const isRequest = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !isRequest) faults.push(message.text());
  });
  const close = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
    assert.deepEqual(faults, [], "the page's script has faults");
  };
  return { context, page, axe, close };
}

/** Does one scenario; what was to be seen when it failed stays in `shots`. */
export async function run(scenario, name, { modules, shots, options }) {
  const browser = await launch(modules, options);
  try {
    await scenario(browser);
  } catch (error) {
    await browser.page.screenshot({ path: join(shots, `failed-${name}.png`), fullPage: true });
    throw error;
  } finally {
    await browser.close();
  }
}

/** A file to upload, of so many bytes that are not all alike. */
export function file(directory, name, bytes) {
  const path = join(directory, name);
  const content = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4096) content.writeUInt32LE(at / 4096, at);
  writeFileSync(path, content);
  return path;
}

/** Drops files from the disk, as a person does with the mouse. */
export async function drop(context, page, files) {
  const session = await context.newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) {
    await session.send("Input.dispatchDragEvent", { type, x: 200, y: 200, data });
  }
  await session.detach();
}

/** Lets the browser send no more than so many bytes a second. */
export async function throttle(context, page, bytesPerSecond) {
  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  const conditions = { offline: false, latency: 0, downloadThroughput: -1 };
  await session.send("Network.emulateNetworkConditions", {
    ...conditions,
    uploadThroughput: bytesPerSecond,
  });
  return () =>
    session.send("Network.emulateNetworkConditions", { ...conditions, uploadThroughput: -1 });
}

/** The item of a file on the page. */
export function item(page, name) {
  return page.locator("#items .item").filter({ has: page.locator("h3", { hasText: exactly(name) }) });
}

function exactly(text) {
  return new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`);
}

/** Looks at a state of a page in all looks: nothing hinders anybody, nothing is cut. */
export async function look({ page, axe }, shots, state) {
  mkdirSync(shots, { recursive: true });
  const before = page.viewportSize();
  for (const { width, colorScheme } of LOOKS) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 900 });
    await page.screenshot({
      path: join(shots, `${state}-${width}-${colorScheme}.png`),
      fullPage: true,
      animations: "disabled",
    });
    const what = `${state}, ${width} px, ${colorScheme}`;
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= width, `${what}: the page is ${wide} px wide`);
    if (axe) assert.deepEqual(await violations(page, axe), [], what);
  }
  await page.emulateMedia({ colorScheme: null });
  await page.setViewportSize(before);
}

/** What axe finds fault with. It comes in as a debugger does: the page's policy lets no other in. */
async function violations(page, axe) {
  await page.evaluate(axe);
  const result = await page.evaluate(() =>
    globalThis.axe.run(document, { resultTypes: ["violations"] }),
  );
  assert.ok(result.passes.length > 0, "axe has looked at something");
  return result.violations.map(({ id, help, nodes }) => [
    id,
    help,
    nodes.map((node) => `${node.html} ${node.failureSummary}`),
  ]);
}
