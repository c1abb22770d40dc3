// Uploads one file with Chromium, by the page at URL: with its own field for files, or with its script alone.
//
// node browser.mjs MODULES URL [FILE]
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, url, file] = process.argv.slice(2);
const { chromium } = createRequire(join(modules, "playwright-core/"))("playwright-core");
const context = await chromium.launchPersistentContext(join(process.env.HOME, "profile"), {
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--no-proxy-server", "--disable-background-networking"],
});
const page = context.pages()[0];
await page.goto(url);
if (file) {
  await page.locator("#choose").setInputFiles([file]);
  await page.locator("#items .item.complete").waitFor({ timeout: 0 });
} else {
  await page.locator("#answered").waitFor({ timeout: 0 });
}
await context.close();
