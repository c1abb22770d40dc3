// A file in one PUT request. A retry sends all of it again.

import { address, request, timelineOf } from "./request.js";

export class Put {
  #file;

  constructor(file) {
    this.#file = file;
  }

  /** Returns the server's receipt: `id`, `name`, `timeline`. */
  async send({ id, progress, signal }) {
    const answer = await request("PUT", address(encodeURIComponent(this.#file.name)), {
      headers: { "Content-Type": "application/octet-stream", "X-Request-Id": id },
      body: this.#file,
      progress,
      signal,
    });
    return { ...JSON.parse(answer.responseText), timeline: timelineOf(answer).timeline };
  }

  /** Nothing to do: the server discards an incomplete file when the request is aborted. */
  async cancel() {}
}
