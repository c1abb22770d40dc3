// The page behind proxies: under a name that is not localhost, over plain HTTP, beneath a path.
//
// node proxies.mjs MODULES SHOTS DIRECTORY TABLE
import assert from "node:assert/strict";

import { ARGUMENTS, drop, file as fileIn, item, run } from "./browser.mjs";

const [modules, shots, directory, table] = process.argv.slice(2);
const { ip, fronts } = JSON.parse(table);

async function upload(context, { url, large, withoutSlash }, number) {
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => faults.push(message.text()));
  const inside = (address) => assert.ok(address.startsWith(url), `${address} is not beneath ${url}`);
  await page.goto(url);
  assert.equal(await page.locator("#address").textContent(), url);
  // The events arrive.
  await page.getByText("No tracer is attached").waitFor();
  const files = [fileIn(directory, `small-${number}.bin`, 5000)];
  // Such a file is sent by tus.
  if (large) files.push(fileIn(directory, `large-${number}.bin`, 17e6));
  await drop(context, page, files);
  for (const path of files) {
    const name = path.slice(directory.length + 1);
    await item(page, name).and(page.locator(".complete")).waitFor();
    inside(await item(page, name).getByRole("link", { name, exact: true }).evaluate((a) => a.href));
  }
  // The list is renewed when the event of the upload arrives.
  const name = `small-${number}.bin`;
  const listed = page.locator("#lists").getByRole("link", { name: `details of ${name}` });
  inside(await listed.first().evaluate((link) => link.href));
  const download = page.waitForEvent("download");
  await page.locator("#files + ul").getByRole("link", { name, exact: true }).click();
  assert.equal((await download).suggestedFilename(), name);

  await page.getByRole("link", { name: `What is known of ${name}` }).click();
  await page.getByRole("heading", { name, exact: true }).waitFor();
  inside(page.url());
  await page.getByText("No tracer is attached to this server").waitFor();
  for (const form of await page.locator(".forms a").all()) {
    const address = await form.evaluate((link) => link.href);
    inside(address);
    assert.equal(await page.evaluate(async (form) => (await fetch(form)).status, address), 200);
  }
  await page.getByRole("link", { name: "All uploads" }).click();
  await page.getByRole("heading", { name: "Upload", exact: true }).waitFor();
  assert.equal(page.url(), url);

  if (withoutSlash) {
    await page.goto(url.slice(0, -1));
    await page.getByText("No tracer is attached").waitFor();
  }
  assert.deepEqual(faults, [], url);
}

await run(
  ({ context }) => Promise.all(fronts.map((front, number) => upload(context, front, number))),
  "proxies",
  {
    modules,
    shots,
    options: {
      args: [...ARGUMENTS, `--host-resolver-rules=MAP files.example ${ip}`],
      ignoreHTTPSErrors: true,
    },
  },
);
