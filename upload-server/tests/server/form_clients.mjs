// Uploads a file under each name with each client, in a form. `@` in a name is the client's own. Prints
// what the server answered, as JSON.
//
// node form_clients.mjs MODULES URL NAMES
import { createRequire } from "node:module";
import { join } from "node:path";

const [modules, url, names] = process.argv.slice(2);
const require = createRequire(join(modules, "axios/"));
const axios = require("axios");
const NodeFormData = require("form-data");

const clients = {
  async axios_form_data(name) {
    const form = new NodeFormData();
    form.append("file", Buffer.from(name), { filename: name });
    return axios.post(url, form, { headers: form.getHeaders() });
  },
  async axios(name) {
    const form = new FormData();
    form.append("file", new Blob([name]), name);
    return axios.post(url, form);
  },
  async fetch(name) {
    const form = new FormData();
    form.append("file", new Blob([name]), name);
    const answer = await globalThis.fetch(url, { method: "POST", body: form });
    return { status: answer.status, data: await answer.text() };
  },
};

axios.defaults.validateStatus = null;
axios.defaults.transformResponse = [(data) => data];
const answers = [];
for (const [client, upload] of Object.entries(clients)) {
  for (const template of JSON.parse(names)) {
    const sent = template.replace("@", client);
    const { status, data } = await upload(sent);
    answers.push({ sent, status, text: data });
  }
}
console.log(JSON.stringify(answers));
