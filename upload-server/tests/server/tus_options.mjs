// Uploads files with tus-js-client by each of its options. Prints a line for each stored file: its name,
// and that of the file that was sent.
//
// node tus_options.mjs MODULES ENDPOINT CUTTING_ENDPOINT FOLDER
import { createReadStream, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { PassThrough } from "node:stream";

const [modules, endpoint, cuttingEndpoint, folder] = process.argv.slice(2);
const { FileUrlStorage, Upload } = createRequire(modules + "/")("tus-js-client");

let files = 0;

/** Makes a file of this length, with a content of its own. */
function make(length) {
  const name = `${files++}.bin`;
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + files) & 255;
  writeFileSync(join(folder, name), bytes);
  return name;
}

/** Uploads until `onProgress` aborts it, or to the end. */
function run(source, options, begin = (upload) => upload.start()) {
  return new Promise((resolve, reject) => {
    const upload = new Upload(source, {
      endpoint,
      retryDelays: [0, 10, 100, 1000],
      ...options,
      onSuccess: () => resolve(upload),
      onError: reject,
      onProgress: (sent) => options.abortAfter < sent && upload.abort().then(() => resolve(upload)),
    });
    begin(upload);
  });
}

const path = (sent) => join(folder, sent);
const stored = (name, sent) => console.log(`${name}\t${sent}`);

/** Files of which the whole content is known. */
async function buffers() {
  const parallelUploads = 3;
  for (const [name, length, options] of [
    ["parallel", 1_000_000, { parallelUploads }],
    ["parallel, two bytes", 2, { parallelUploads }],
    ["parallel, in chunks", 1_000_001, { parallelUploads, chunkSize: 100_000 }],
    ["parallel, bytes at creation", 900_000, { parallelUploads, uploadDataDuringCreation: true }],
    ["parallel, POST alone", 800_000, { parallelUploads, overridePatchMethod: true }],
    ["parallel, named parts", 700_000, { parallelUploads, metadataForPartialUploads: { filename: "part" } }],
    ["bytes at creation", 600_000, { uploadDataDuringCreation: true, chunkSize: 250_000 }],
    ["POST alone", 500_000, { overridePatchMethod: true, addRequestId: true }],
    ["parallel, cut", 3_000_000, { parallelUploads, endpoint: cuttingEndpoint }],
  ]) {
    const sent = make(length);
    await run(readFileSync(path(sent)), { ...options, metadata: { filename: name } });
    stored(name, sent);
  }
}

/**
 * Files whose length the client learns at the end. (One that ends together with a chunk, it never ends:
 * tus-js-client 4.3.1 with Node.js waits for more bytes.)
 */
async function streams() {
  for (const [name, length, options] of [
    ["stream", 250_000, {}],
    ["stream, POST alone", 350_001, { overridePatchMethod: true, uploadDataDuringCreation: true }],
    ["short stream", 1, {}],
  ]) {
    const sent = make(length);
    const source = createReadStream(path(sent)).pipe(new PassThrough());
    const metadata = { filename: name };
    await run(source, { ...options, uploadLengthDeferred: true, chunkSize: 100_000, metadata });
    stored(name, sent);
  }
}

/** The defaults, which have no name. */
async function nameless() {
  const sent = make(400_000);
  const { url } = await run(readFileSync(path(sent)), {});
  stored(`upload-${url.split("/").pop().slice(0, 8)}`, sent);
}

/** An app that was closed in the middle of a parallel upload, and finds it again. */
async function resumed() {
  const sent = make(2_000_000);
  const urlStorage = new FileUrlStorage(path("urls.json"));
  const options = { metadata: { filename: "resumed" }, parallelUploads: 3, chunkSize: 100_000, urlStorage };
  await run(createReadStream(path(sent)), { ...options, abortAfter: 700_000 });
  await run(createReadStream(path(sent)), options, async (upload) => {
    const [previous] = await upload.findPreviousUploads();
    upload.resumeFromPreviousUpload(previous);
    upload.start();
  });
  stored("resumed", sent);
}

await buffers();
await streams();
await nameless();
await resumed();
process.exit();
