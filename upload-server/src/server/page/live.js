// What the server says while it happens (`GET /events`). One connection for the whole page, and none
// while nobody sees it: with HTTP/1.1 a browser opens six to a server, for all its pages together.

/** After how many milliseconds a server that refused is asked again. */
const AGAIN_MS = 10_000;

/** See above. Events: `open`, and those of the server with its object as `detail`. */
export class Live extends EventTarget {
  #source = null;
  #again = null;

  constructor() {
    super();
    document.addEventListener("visibilitychange", () => this.#settle());
    // A page that is kept for the way back may hold no connection.
    addEventListener("pagehide", () => this.#close());
    addEventListener("pageshow", () => this.#settle());
    this.#settle();
  }

  #settle() {
    if (document.visibilityState === "hidden") this.#close();
    else if (this.#source === null) this.#open();
  }

  #open() {
    clearTimeout(this.#again);
    const source = new EventSource("/events");
    this.#source = source;
    source.onopen = () => this.dispatchEvent(new Event("open"));
    source.onerror = () => {
      this.dispatchEvent(new Event("lost"));
      // A connection that broke is opened again by itself; a refusal is final.
      if (source.readyState !== EventSource.CLOSED || source !== this.#source) return;
      this.#close();
      this.#again = setTimeout(() => this.#settle(), AGAIN_MS);
    };
    for (const name of ["tracer", "upload", "timeline"]) {
      source.addEventListener(name, (event) => {
        this.dispatchEvent(new CustomEvent(name, { detail: JSON.parse(event.data) }));
      });
    }
  }

  #close() {
    clearTimeout(this.#again);
    this.#source?.close();
    this.#source = null;
  }
}
