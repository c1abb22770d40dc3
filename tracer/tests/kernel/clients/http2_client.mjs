// Uploads each file over one connection of HTTP/2 in clear text.
import { readFileSync } from "node:fs";
import { connect } from "node:http2";
import { basename } from "node:path";

// As `node -e` has them.
const [base, ...files] = process.argv.slice(1);
const session = connect(base);
for (const file of files) {
  const status = await new Promise((resolve, reject) => {
    const stream = session.request({ ":method": "PUT", ":path": `/${basename(file)}` });
    stream.on("response", (headers) => resolve(headers[":status"]));
    stream.on("error", reject);
    stream.resume();
    stream.end(readFileSync(file));
  });
  if (status !== 201) throw new Error(`${file}: ${status}`);
}
session.close();
