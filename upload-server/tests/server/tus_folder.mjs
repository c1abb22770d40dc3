// Uploads each file of a folder with tus-js-client in three parts, eight files at a time. Prints the
// name of each file once it is stored.
//
// node tus_folder.mjs MODULES ENDPOINT FOLDER
import { readFileSync, readdirSync } from "node:fs";
import { Agent } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, endpoint, folder] = process.argv.slice(2);
const { DefaultHttpStack, Upload } = createRequire(modules + "/")("tus-js-client");

const AT_ONCE = 8;
const httpStack = new DefaultHttpStack({ agent: new Agent({ keepAlive: true }) });

function upload(name) {
  return new Promise((onSuccess, onError) => {
    const upload = new Upload(readFileSync(join(folder, name)), {
      endpoint,
      httpStack,
      metadata: { filename: name },
      parallelUploads: 3,
      // Four requests for a file, not seven.
      uploadDataDuringCreation: true,
      onSuccess,
      onError,
    });
    upload.start();
  });
}

const names = readdirSync(folder);
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      await upload(name);
      console.log(name);
    }
  }),
);
process.exit();
