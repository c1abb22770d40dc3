// Uploads a file with tus-js-client, which goes on by itself where its connection breaks.
//
// node tus_client.mjs MODULES ENDPOINT FILE NAME CHUNK
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, endpoint, file, name, chunk] = process.argv.slice(2);
const { Upload } = createRequire(modules + "/")("tus-js-client");

new Upload(readFileSync(file), {
  endpoint,
  chunkSize: Number(chunk),
  metadata: { filename: name },
  retryDelays: [0, 10, 100, 1000],
  onError(error) {
    console.error(String(error));
    process.exit(1);
  },
}).start();
