// Uploads a file with tus-js-client to each of the endpoints, from a certain address of this machine.
//
// node proxies_tus.mjs MODULES FILE IP CLIENT ENDPOINTS
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";

const [modules, file, ip, localAddress, endpoints] = process.argv.slice(2);
const { Upload, DefaultHttpStack } = createRequire(modules + "/")("tus-js-client");

/** Every name is that of the proxies. */
function lookup(name, options, done) {
  if (options.all) done(null, [{ address: ip, family: 4 }]);
  else done(null, ip, 4);
}

for (const { endpoint, name, chunk } of JSON.parse(endpoints)) {
  const { Agent } = endpoint.startsWith("https") ? https : http;
  await new Promise((onSuccess, onError) => {
    new Upload(readFileSync(file), {
      endpoint,
      chunkSize: chunk ?? Infinity,
      metadata: { filename: name },
      retryDelays: [],
      httpStack: new DefaultHttpStack({ agent: new Agent({ lookup, localAddress }) }),
      onSuccess,
      onError: (error) => onError(new Error(`${endpoint}: ${error}`)),
    }).start();
  });
}
