// The server's events (`GET /events`). One connection for the page, and none while the page is hidden:
// with HTTP/1.1, a browser opens six connections to a server, for all its pages together.

import { address } from "./request.js";

/** The pause after a refusal, in milliseconds. */
const RETRY_MS = 10_000;

/** Dispatches `open`, `lost`, and the server's events with their data as `detail`. */
export class Live extends EventTarget {
  #source = null;
  #retry = null;

  constructor() {
    super();
    document.addEventListener("visibilitychange", () => this.#update());
    // A page in the back/forward cache may hold no connection.
    addEventListener("pagehide", () => this.#close());
    addEventListener("pageshow", () => this.#update());
    this.#update();
  }

  #update() {
    if (document.visibilityState === "hidden") this.#close();
    else if (this.#source === null) this.#open();
  }

  #open() {
    clearTimeout(this.#retry);
    const source = new EventSource(address("events"));
    this.#source = source;
    source.onopen = () => this.dispatchEvent(new Event("open"));
    source.onerror = () => {
      this.dispatchEvent(new Event("lost"));
      // The browser reopens a broken connection by itself. It does not retry after a refusal.
      if (source.readyState !== EventSource.CLOSED || source !== this.#source) return;
      this.#close();
      this.#retry = setTimeout(() => this.#update(), RETRY_MS);
    };
    for (const name of ["tracer", "upload", "timeline"]) {
      source.addEventListener(name, (event) => {
        this.dispatchEvent(new CustomEvent(name, { detail: JSON.parse(event.data) }));
      });
    }
  }

  #close() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
  }
}
