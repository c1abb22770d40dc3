// Drives Chromium as a user would, and checks that each page is readable and accessible.
//
// `modules` is the folder where `cargo xtask test` installs the packages.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--no-proxy-server",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Each state of a page is checked in these widths and colours. */
const LOOKS = [
  { width: 360, colorScheme: "light" },
  { width: 360, colorScheme: "dark" },
  { width: 1600, colorScheme: "light" },
  { width: 1600, colorScheme: "dark" },
];

/** A browser with an empty profile. Close it with `close`. */
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
    // The console also reports refused requests. Those are expected: the page shows them.
    const isRequest = /^(Failed to load resource|Access to )/.test(message.text());
    if (message.type() === "error" && !isRequest) faults.push(message.text());
  });
  const close = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
    assert.deepEqual(faults, [], "the page's script has faults");
  };
  return { context, page, axe, close };
}

/** Runs one scenario. When it fails, a screenshot stays in `shots`. */
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

/** A file to upload, of this many bytes, which are not all alike. */
export function file(directory, name, bytes) {
  const path = join(directory, name);
  const content = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4096) content.writeUInt32LE(at / 4096, at);
  writeFileSync(path, content);
  return path;
}

/** Drops files from the disk, as with the mouse. */
export async function drop(context, page, files) {
  const session = await context.newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) {
    await session.send("Input.dispatchDragEvent", { type, x: 200, y: 200, data });
  }
  await session.detach();
}

/** Limits the browser's upload rate. */
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

/** Checks a state of a page in all widths and colours: it is accessible, and fits the width. */
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

/** The faults that axe finds. It is injected as by a debugger: the page's policy blocks other ways. */
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
