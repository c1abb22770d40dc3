// Uploads from a page of another origin: Uppy (tus and forms), and scripts of its own.
//
// node uppy.mjs MODULES SHOTS ALLOWED OTHER NAMED GUARDED TOKEN
//
// ALLOWED and OTHER are the same page under two origins. The server NAMED allows the first. The server
// GUARDED allows every origin, and has a token.
import assert from "node:assert/strict";

import { run } from "./browser.mjs";

const [modules, shots, allowed, other, named, guarded, token] = process.argv.slice(2);

/** The content of the n-th file of a folder: 1,000 bytes which differ from file to file. */
const CONTENT = (n) => `${n}\n`.padEnd(1000, `${n} `);

/** Uploads a folder of small files with one of Uppy's plugins. Returns how many were stored. */
function uppy(page, { plugin, options, folder, count }) {
  const parameters = { plugin, options, folder, count, source: String(CONTENT) };
  return page.evaluate(async ({ plugin, options, folder, count, source }) => {
    const content = eval(source);
    const { Uppy, ...plugins } = globalThis.uppy;
    const uppy = new Uppy().use(plugins[plugin], options);
    const file = (_, n) => {
      const name = `${folder}-${n}.txt`;
      const data = new File([content(n)], name, { type: "text/plain" });
      return { name, type: data.type, data, meta: { relativePath: `${folder}/${name}` } };
    };
    uppy.addFiles(Array.from({ length: count }, file));
    const { successful, failed } = await uppy.upload();
    if (failed.length > 0) throw new Error(failed[0].error);
    return successful.map(({ response, uploadURL }) => response?.uploadURL ?? uploadURL).length;
  }, parameters);
}

/** One request of the page's script: what the script learns of the answer. */
function request(page, url, { form, ...init } = {}) {
  return page.evaluate(
    async ([url, init, form]) => {
      if (form) {
        init.body = new FormData();
        init.body.append("file", new File([form.content], form.name));
      }
      try {
        const response = await fetch(url, init);
        const text = await response.text();
        return { status: response.status, text, fields: Object.fromEntries(response.headers) };
      } catch (error) {
        return { error: error.name };
      }
    },
    [url, init, form],
  );
}

const scenario = async ({ page }) => {
  const authorization = `Bearer ${token}`;
  await page.goto(allowed);

  // A folder of small files: resumable, in two requests for each and in one; a form for each; and all in
  // one form.
  const tus = { endpoint: `${named}tus/` };
  assert.equal(await uppy(page, { plugin: "Tus", options: tus, folder: "two", count: 20 }), 20);
  const one = { ...tus, uploadDataDuringCreation: true };
  assert.equal(await uppy(page, { plugin: "Tus", options: one, folder: "one", count: 1000 }), 1000);
  const xhr = { endpoint: named };
  const forms = { plugin: "XHRUpload", options: xhr, folder: "forms", count: 20 };
  assert.equal(await uppy(page, forms), 20);
  const form = { plugin: "XHRUpload", options: { ...xhr, bundle: true }, folder: "form", count: 20 };
  assert.equal(await uppy(page, form), 20);

  // The same with a token.
  const headers = { authorization };
  const options = { endpoint: `${guarded}tus/`, headers };
  assert.equal(await uppy(page, { plugin: "Tus", options, folder: "tus", count: 3 }), 3);
  const told = { ...forms, options: { endpoint: guarded, headers }, count: 3 };
  assert.equal(await uppy(page, told), 3);

  // A script reads the whole answer.
  const put = await request(page, `${named}put.txt`, { method: "PUT", body: "put" });
  assert.equal(put.status, 201);
  assert.equal(new URL(put.fields.location, named).href, `${named}files/put.txt`);
  assert.match(put.fields.link, /\bt\/\d+>/);
  const [posted] = JSON.parse(
    (await request(page, named, { method: "POST", form: { name: "posted.txt", content: "form" } })).text,
  );
  assert.equal(posted.name, "posted.txt");
  const read = await request(page, `${named}files/put.txt`);
  assert.deepEqual([read.status, read.text], [200, "put"]);
  const extra = { "x-request-id": "1", "want-repr-digest": "sha-256=9", "x-of-the-app": "1" };
  // The browser has kept the file, and would only ask whether it has changed.
  const cache = "no-store";
  const digest = await request(page, `${named}files/put.txt`, { headers: extra, cache });
  assert.match(digest.fields["repr-digest"], /^sha-256=:/);
  const offered = await request(page, `${named}tus/`, { method: "OPTIONS" });
  assert.match(offered.fields["tus-extension"], /creation/);

  const type = await page.evaluate(
    (url) =>
      new Promise((resolve) => {
        const events = new EventSource(url);
        events.onopen = events.onerror = ({ type }) => events.close() ?? resolve(type);
      }),
    `${named}events`,
  );
  assert.equal(type, "open");

  // And why a request failed.
  const hidden = await request(page, `${named}.hidden`, { method: "PUT", body: "x" });
  assert.deepEqual([hidden.status, JSON.parse(hidden.text).status], [400, 400]);
  const untold = await request(page, `${guarded}file`, { method: "PUT", body: "x" });
  assert.equal(untold.status, 401);
  assert.match(JSON.parse(untold.text).detail, /token/);
  const known = await request(page, `${guarded}put.txt`, { method: "PUT", body: "put", headers });
  assert.equal(known.status, 201);

  // The browser's own credentials are not for pages of other origins.
  const own = { method: "PUT", body: "x", credentials: "include" };
  assert.equal((await request(page, `${named}own.txt`, own)).error, "TypeError");

  // A page of an origin that is not allowed reads nothing and stores nothing.
  await page.goto(other);
  for (const init of [
    { method: "PUT", body: "x" },
    { method: "POST", form: { name: "evil.txt", content: "x" } },
    { method: "POST", form: { name: "evil.txt", content: "x" }, mode: "no-cors" },
    {},
  ]) {
    const target = init.method === "PUT" ? `${named}evil.txt` : named;
    const { error, status } = await request(page, target, init);
    assert.ok(error === "TypeError" || status === 0, JSON.stringify(init));
  }
  const everybody = await request(page, `${guarded}other.txt`, { method: "PUT", body: "put", headers });
  assert.equal(everybody.status, 201);
};

await run(scenario, "other-origin", { modules, shots });
