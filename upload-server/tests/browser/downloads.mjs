// Downloads, and a refused form, in a browser without the script.
//
// node downloads.mjs MODULES SHOTS DIRECTORY URL
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { file as fileIn, look, run } from "./browser.mjs";

const [modules, shots, directory, url] = process.argv.slice(2);

/** The test made these files. */
const NAMES = ["naïve 猫.png", "100% (1); x='y'.txt"];

const download = async (page, name) => {
  const [begun] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("link", { name, exact: true }).click(),
  ]);
  return begun;
};

async function scenario(browser) {
  const { page } = browser;
  await page.goto(url);
  for (const name of NAMES) {
    const got = await download(page, name);
    assert.equal(got.suggestedFilename(), name);
    assert.equal(readFileSync(await got.path(), "utf8"), name);
  }

  // The server takes files of 50 MB.
  await page.locator("#choose").setInputFiles([fileIn(directory, "too-large.bin", 100e6)]);
  await page.getByRole("button", { name: "Upload" }).click();
  await page.getByRole("heading", { name: "Payload Too Large" }).waitFor();
  await page.getByText("The file is larger than 50000000 bytes").waitFor();
  await look({ page }, shots, "refused-form");
  await page.getByRole("link", { name: "Back to the upload page" }).click();
  await page.locator("#choose").waitFor();
}

const options = { javaScriptEnabled: false, acceptDownloads: true };
await run(scenario, "downloads", { modules, shots, options });
