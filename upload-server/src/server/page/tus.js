// A file that goes on where it broke off: tus 1.0 (https://tus.io/protocols/resumable-upload) as far
// as this page needs it. The rest of the file goes in one request each time.

import { Broken, Cancelled, Refused, request } from "./request.js";

const VERSION = { "Tus-Resumable": "1.0.0" };

/** After how many milliseconds what broke is tried again by itself. */
const PAUSES_MS = [500, 1000, 2000, 4000];

/** Where the uploads of files are that were chosen before and are not complete. */
const REMEMBERED = "unfinished uploads";

/** An upload that can be resumed. */
export class Tus {
  #file;
  #address;
  #takenBack = false;

  constructor(file) {
    this.#file = file;
    this.#address = take(key(file));
  }

  /**
   * Sends what the server does not have yet. Where the connection breaks, `pausing` is called, and
   * it goes on after a while.
   */
  async send({ id, progress, signal, pausing }) {
    this.#takenBack = false;
    for (let tries = 0; ; ) {
      let reached = 0;
      try {
        return await this.#sendRest({
          id,
          signal,
          progress: (bytes) => {
            if (bytes > reached && reached > 0) tries = 0;
            reached = bytes;
            progress(bytes);
          },
        });
      } catch (error) {
        if (this.#takenBack) throw new Cancelled();
        if (!isPassing(error) || tries === PAUSES_MS.length) throw error;
        pausing(PAUSES_MS[tries], error);
        await pause(PAUSES_MS[tries], signal);
        tries += 1;
      }
    }
  }

  /**
   * Tells the server that it is not wanted any more, which also ends the request under way: its
   * record then names the connection that carried it.
   */
  async takeBack() {
    const address = this.#address;
    this.#address = null;
    this.#takenBack = true;
    if (address === null) return;
    try {
      await request("DELETE", address, { headers: VERSION });
    } catch {
      // The server removes it after a day.
    }
  }

  /** Remembers what is not complete, for a page that is asked for the same file. */
  remember() {
    if (this.#address !== null) put(key(this.#file), this.#address);
  }

  async #sendRest({ id, progress, signal }) {
    const offset = await this.#offset(id, signal);
    progress(offset);
    if (offset === this.#file.size) return this.#stored(null);
    const answer = await request("PATCH", this.#address, {
      headers: {
        ...VERSION,
        "Upload-Offset": offset,
        "Content-Type": "application/offset+octet-stream",
        "X-Request-Id": id,
      },
      body: this.#file.slice(offset),
      progress: (bytes) => progress(offset + bytes),
      signal,
    });
    if (Number(answer.getResponseHeader("Upload-Offset")) !== this.#file.size) {
      throw new Broken("the server did not get all of it");
    }
    return this.#stored(answer);
  }

  /** How much the server has; begins the upload where it knows of none. */
  async #offset(id, signal) {
    if (this.#address !== null) {
      try {
        const answer = await request("HEAD", this.#address, { headers: VERSION, signal });
        return Number(answer.getResponseHeader("Upload-Offset"));
      } catch (error) {
        if (!(error instanceof Refused && [404, 410].includes(error.status))) throw error;
      }
    }
    const answer = await request("POST", "/tus/", {
      headers: {
        ...VERSION,
        "Upload-Length": this.#file.size,
        "Upload-Metadata": `filename ${base64(this.#file.name)}`,
        "X-Request-Id": id,
      },
      signal,
    });
    this.#address = answer.getResponseHeader("Location");
    return 0;
  }

  /** What the answer says of the stored file, as far as it does. */
  #stored(answer) {
    this.#address = null;
    const link = answer?.getResponseHeader("Link") ?? "";
    const [, timeline, id = null] = link.match(/<(\/t\/(\d+)[^>]*)>; rel="describedby"/) ?? [];
    return { id, name: null, timeline };
  }
}

/** Whether it may go well the next time. */
function isPassing(error) {
  if (error instanceof Refused) return [409, 423, 503].includes(error.status);
  return error instanceof Broken;
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    // What follows then finds it aborted.
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function base64(text) {
  const bytes = new TextEncoder().encode(text);
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

/** What tells a file from others without reading it. */
function key(file) {
  return JSON.stringify([file.name, file.size, file.lastModified]);
}

function put(key, address) {
  save({ ...remembered(), [key]: address });
}

/** Two uploads never go on at the same place: what is taken is not there any more. */
function take(key) {
  const { [key]: address = null, ...others } = remembered();
  if (address !== null) save(others);
  return address;
}

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(REMEMBERED)) ?? {};
  } catch {
    return {};
  }
}

function save(uploads) {
  try {
    localStorage.setItem(REMEMBERED, JSON.stringify(uploads));
  } catch {
    // Without storage, a page that is loaded again begins anew.
  }
}
