// One upload on this page: its progress, its result, its timeline.

import { Broken, Cancelled, Refused, address } from "./request.js";
import { Put } from "./put.js";
import { Tus } from "./tus.js";
import { Rate, duration, size } from "./units.js";

/** Files from this size on are resumed after a break. Smaller ones are sent again. */
const LARGE = 16 * 1024 * 1024;

/** The parts of the page that items need. */
const template = document.getElementById("item");
const { most, download } = document.getElementById("form").dataset;

/** Calls `changed` when it begins to wait and when it ends, `announce` with its result. */
export class Item {
  element = template.content.cloneNode(true).firstElementChild;
  /** The server's records contain it: it identifies this item's requests. */
  requestId = newId();
  /** The server's id of the upload, once it is known. */
  id = null;
  /** `waiting`, `sending`, `complete`, `failed` or `cancelled`. */
  state = "waiting";

  #file;
  #transfer;
  /** The name under which it is stored, once it is known. */
  #name = null;
  #abort = null;
  #changed;
  #announce;
  #took = "";
  /** The address of its timeline. */
  #address = null;
  #timelineShown = false;
  /** Numbers the requests for the timeline. */
  #turn = 0;

  constructor(file, { changed, removed, announce }) {
    this.#file = file;
    this.#changed = changed;
    this.#announce = announce;
    this.#transfer = file.size > LARGE ? new Tus(file) : new Put(file);
    this.#part("name").textContent = file.name;
    this.#part("progress").setAttribute("aria-label", `Progress of ${file.name}`);
    for (const of of this.element.querySelectorAll(".of")) of.textContent = ` ${file.name}`;
    this.#part("cancel").onclick = () => this.cancel();
    this.#part("retry").onclick = () => this.#retry();
    this.#part("remove").onclick = () => removed(this);
    this.#show("waiting", "Waiting for other uploads");
    if (most !== "" && file.size > Number(most)) {
      this.#fail(`it has ${size(file.size)}, and this server accepts at most ${size(Number(most))}`);
    }
  }

  /** Starts, or resumes where possible. */
  async start() {
    const [file, rate, began] = [this.#file, new Rate(), performance.now()];
    this.#abort = new AbortController();
    this.#show("sending", "Starting");
    try {
      await assertReadable(file);
      const stored = await this.#transfer.send({
        id: this.requestId,
        signal: this.#abort.signal,
        progress: (bytes) => this.#progress(bytes, rate),
        pausing: (ms, error) => {
          this.#text(`Retrying in ${duration(ms / 1000)}: ${error.message}`);
        },
      });
      this.#complete(stored, performance.now() - began);
    } catch (error) {
      if (error instanceof Cancelled) this.#cancelled();
      else if (error instanceof Refused) this.#fail(error.message);
      else if (error instanceof Broken) this.#fail(`${error.message}; you can retry`);
      else this.#fail(error.message);
    }
  }

  /** Cancels the upload, also on the server. */
  async cancel() {
    if (this.state === "waiting") {
      this.#cancelled();
      return;
    }
    this.#part("cancel").disabled = true;
    const abort = this.#abort;
    // If the server does not answer, the request is aborted anyway.
    const late = setTimeout(() => abort.abort(), 2000);
    await this.#transfer.cancel();
    clearTimeout(late);
    abort.abort();
  }

  /** Call when the user leaves the page. */
  remember() {
    if (this.state !== "complete" && this.state !== "cancelled") this.#transfer.remember?.();
  }

  /** Takes the server's record. Unless the record has an address, it follows from the id. */
  recorded({ id, name, timeline = address(`t/${id}`) }) {
    this.id = id;
    this.#address = timeline;
    if (name !== null) this.#name = name;
    if (this.state === "complete" && this.#name !== null) this.#showStored();
    this.#showLink();
  }

  /** Fetches the timeline as HTML, and shows it unless a later request has been sent meanwhile. */
  async fetchTimeline() {
    const turn = (this.#turn += 1);
    const answer = await fetch(`${this.#address}?fragment`).catch(() => null);
    if (answer?.ok !== true) return;
    const html = await answer.text();
    if (turn === this.#turn) this.#showTimeline(html);
  }

  #showTimeline(html) {
    this.#timelineShown = true;
    const place = this.#part("timeline");
    const focus = [...place.querySelectorAll("a, [tabindex]")].indexOf(document.activeElement);
    place.innerHTML = html;
    if (focus >= 0) place.querySelectorAll("a, [tabindex]")[focus]?.focus();
  }

  #retry() {
    this.requestId = newId();
    this.id = null;
    this.#name = null;
    this.#timelineShown = false;
    this.#turn += 1;
    this.#part("timeline").replaceChildren();
    this.#show("waiting", "Waiting for other uploads");
    this.#part("cancel").focus();
    this.#changed(this);
  }

  #progress(bytes, rate) {
    const total = this.#file.size;
    rate.mark(bytes, performance.now());
    this.#part("progress").value = total === 0 ? 1 : bytes / total;
    if (bytes === total) {
      this.#text(`${size(total)} sent, the server is storing it`);
      return;
    }
    const parts = [`${size(bytes)} of ${size(total)}`];
    const perSecond = rate.perSecond();
    if (perSecond !== null) parts.push(`${size(perSecond)}/s`);
    if (perSecond > 0) parts.push(`${duration((total - bytes) / perSecond)} left`);
    this.#text(parts.join(", "));
  }

  #complete({ id, name, timeline }, ms) {
    this.#part("progress").value = 1;
    const [bytes, seconds] = [this.#file.size, ms / 1000];
    this.#took = `${size(bytes)} in ${duration(seconds)}`;
    // A shorter time is mostly the round trip: a rate would be misleading.
    if (seconds >= 0.5) this.#took += `, ${size(Math.round(bytes / seconds))}/s`;
    this.#show("complete", `Stored: ${this.#took}`);
    if (id !== null) this.recorded({ id, name, timeline });
    else if (this.#name !== null) this.#showStored();
    this.#end(`${this.#file.name} is stored`);
  }

  #showStored() {
    const name = this.#name;
    const stored = document.createElement(download === "" ? "span" : "a");
    stored.textContent = name;
    if (download !== "") stored.href = download + encodeURIComponent(name);
    const why = name === this.#file.name ? "" : ", because its name existed already";
    this.#part("state").replaceChildren("Stored as ", stored, `${why}: ${this.#took}`);
  }

  #fail(why) {
    this.#show("failed", `Not stored: ${why}`);
    this.#end(`${this.#file.name} is not stored: ${why}`);
  }

  #cancelled() {
    const sent = this.#part("progress").value * this.#file.size;
    this.#show("cancelled", `Cancelled after ${size(Math.round(sent))} of ${size(this.#file.size)}`);
    this.#end(`${this.#file.name} is cancelled`);
  }

  #end(text) {
    this.#announce(text);
    this.#changed(this);
  }

  /** Links to the upload's page until its timeline is here. */
  #showLink() {
    if (this.#timelineShown) return;
    const link = document.createElement("a");
    link.href = this.#address;
    link.textContent = `What is known of ${this.#file.name}`;
    this.#part("timeline").replaceChildren(link);
  }

  #show(state, text) {
    const hadFocus = this.element.querySelector(".buttons").contains(document.activeElement);
    this.state = state;
    this.element.classList.remove("waiting", "sending", "complete", "failed", "cancelled");
    this.element.classList.add(state);
    const unfinished = state === "waiting" || state === "sending";
    this.#part("cancel").hidden = !unfinished;
    this.#part("cancel").disabled = false;
    this.#part("retry").hidden = state !== "failed" && state !== "cancelled";
    this.#part("remove").hidden = unfinished;
    this.#part("progress").hidden = !unfinished;
    this.#text(text);
    // Hiding the focused button would lose the focus.
    if (hadFocus) this.element.querySelector(".buttons button:not([hidden])").focus();
  }

  #text(text) {
    this.#part("state").textContent = text;
  }

  #part(name) {
    return this.element.querySelector(name === "progress" ? name : `.${name}`);
  }
}

/** Folders and removed files look like files until they are read. */
async function assertReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Error("it is a folder, or cannot be read");
  }
}

/** `crypto.randomUUID` exists only in secure contexts: HTTPS and localhost. */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}
