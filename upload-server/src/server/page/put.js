// A file in one request. What breaks off begins anew.

import { request } from "./request.js";

/** An upload that is one PUT. */
export class Put {
  #file;

  constructor(file) {
    this.#file = file;
  }

  /** Sends it; gives what the server says of the stored file: `id`, `name`. */
  async send({ id, progress, signal }) {
    const answer = await request("PUT", `/${encodeURIComponent(this.#file.name)}`, {
      headers: { "Content-Type": "application/octet-stream", "X-Request-Id": id },
      body: this.#file,
      progress,
      signal,
    });
    return JSON.parse(answer.responseText);
  }

  /** The server drops what it has by itself. */
  async takeBack() {}
}
