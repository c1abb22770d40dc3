// A file that is resumed where it broke off: the part of tus 1.0
// (https://tus.io/protocols/resumable-upload) that this page needs. Each request sends the whole rest
// of the file.

import { Broken, Cancelled, Refused, address, request, timelineOf } from "./request.js";

const VERSION = { "Tus-Resumable": "1.0.0" };

/** The pauses before automatic retries, in milliseconds. */
const PAUSES_MS = [500, 1000, 2000, 4000];

/** The key in `localStorage` of the addresses of unfinished uploads. */
const REMEMBERED = "unfinished uploads";

export class Tus {
  #file;
  #address;
  #cancelled = false;

  constructor(file) {
    this.#file = file;
    this.#address = take(key(file));
  }

  /**
   * Sends the bytes that the server does not have yet. If the connection breaks, calls `pausing`, and
   * resumes after the pause.
   */
  async send({ id, progress, signal, pausing }) {
    this.#cancelled = false;
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
        if (this.#cancelled) throw new Cancelled();
        if (!isTemporary(error) || tries === PAUSES_MS.length) throw error;
        pausing(PAUSES_MS[tries], error);
        await pause(PAUSES_MS[tries], signal);
        tries += 1;
      }
    }
  }

  /**
   * Cancels the upload on the server. That also ends the request in flight, so that the upload's
   * record names the connection that carried it.
   */
  async cancel() {
    const address = this.#address;
    this.#address = null;
    this.#cancelled = true;
    if (address === null) return;
    try {
      await request("DELETE", address, { headers: VERSION });
    } catch {
      // The upload expires on the server.
    }
  }

  /** Stores the address of an unfinished upload, for a later page that gets the same file. */
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
      throw new Broken("the server did not receive the whole file");
    }
    return this.#stored(answer);
  }

  /** How much the server has. Creates the upload if the server does not know it. */
  async #offset(id, signal) {
    if (this.#address !== null) {
      try {
        const answer = await request("HEAD", this.#address, { headers: VERSION, signal });
        return Number(answer.getResponseHeader("Upload-Offset"));
      } catch (error) {
        if (!(error instanceof Refused && [404, 410].includes(error.status))) throw error;
      }
    }
    const answer = await request("POST", address("tus/"), {
      headers: {
        ...VERSION,
        "Upload-Length": this.#file.size,
        "Upload-Metadata": `filename ${base64(this.#file.name)}`,
        "X-Request-Id": id,
      },
      signal,
    });
    this.#address = new URL(answer.getResponseHeader("Location"), answer.responseURL).href;
    return 0;
  }

  /** The receipt, as far as the answer contains it. */
  #stored(answer) {
    this.#address = null;
    return { name: null, ...timelineOf(answer) };
  }
}

/** Whether a retry may succeed. */
function isTemporary(error) {
  if (error instanceof Refused) return [409, 423, 503].includes(error.status);
  return error instanceof Broken;
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    // The next request finds the signal aborted.
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

/** Identifies a file without reading it. */
function key(file) {
  return JSON.stringify([file.name, file.size, file.lastModified]);
}

function put(key, address) {
  save({ ...remembered(), [key]: address });
}

/** Removes the address, so that no two items resume the same upload. */
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
    // Without storage, a reloaded page starts from the beginning.
  }
}
