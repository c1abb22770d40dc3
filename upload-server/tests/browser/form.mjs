// Forms as Chromium sends them: of the upload page without a script, of pages with a folder or an old
// charset, and by a script.
//
// node form.mjs MODULES SHOTS DIRECTORY URL
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { run } from "./browser.mjs";

const [modules, shots, directory, url] = process.argv.slice(2);

/** Files whose content is their path. */
function files(...paths) {
  return paths.map((path) => {
    const full = join(directory, path);
    mkdirSync(join(full, ".."), { recursive: true });
    writeFileSync(full, path);
    return full;
  });
}

/** Submits a form of the page as it is, and returns the answer to it. */
async function submit(page, chosen, attributes = {}) {
  await page.goto(url);
  await page.evaluate((attributes) => {
    const form = document.createElement("form");
    Object.assign(form, { method: "post", enctype: "multipart/form-data", action: "./" });
    const input = Object.assign(document.createElement("input"), { type: "file", name: "file" });
    input.multiple = true;
    if (attributes.folder) input.webkitdirectory = true;
    if (attributes.charset) form.acceptCharset = attributes.charset;
    input.id = "tested";
    form.append(input);
    document.body.append(form);
  }, attributes);
  await page.locator("#tested").setInputFiles(chosen);
  const answered = page.waitForResponse((answer) => answer.request().method() === "POST");
  const loaded = page.waitForEvent("load");
  await page.evaluate(() => document.querySelector("#tested").form.submit());
  await loaded;
  return (await answered).status();
}

await run(
  async ({ page }) => {
    const odd = ["naïve ☃.txt", 'say "hi".txt', "semi;colon=a.txt", "back\\slash.txt", "50%41.txt"];
    assert.equal(await submit(page, files(...odd)), 303);
    assert.equal(await submit(page, []), 400, "no file chosen");
    assert.equal(await submit(page, files("new\nline.txt")), 400);

    files("folder/a.txt", "folder/sub/b.txt");
    assert.equal(await submit(page, join(directory, "folder"), { folder: true }), 303);

    // A page in an old charset sends names in it.
    const latin = { charset: "iso-8859-1" };
    assert.equal(await submit(page, files("café.txt"), latin), 400);

    await page.goto(url);
    const status = await page.evaluate(async () => {
      const form = new FormData();
      form.append("note", "not a file");
      form.append("file", new File(["by script"], 'by "script" ☃.txt'));
      return (await fetch("./", { method: "POST", body: form })).status;
    });
    assert.equal(status, 201);
  },
  "form",
  { modules, shots, options: {} },
);
