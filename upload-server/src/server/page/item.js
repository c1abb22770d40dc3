// One upload of this page, as it is seen: its progress, its end, its timeline.

import { Broken, Cancelled, Refused } from "./request.js";
import { Put } from "./put.js";
import { Tus } from "./tus.js";
import { Rate, duration, size } from "./units.js";

/** From this size on, what broke off is worth going on with. */
const LARGE = 16 * 1024 * 1024;

/** The parts of the page that items need. */
const template = document.getElementById("item");
const { most, download } = document.getElementById("form").dataset;

/** See above. `changed` is called when it begins to wait, or ends. */
export class Item {
  /** The element that shows it. */
  element = template.content.cloneNode(true).firstElementChild;
  /** By this, the server's records know its requests. */
  requestId = newId();
  /** The server's name for the upload, once that is known. */
  id = null;
  /** `waiting`, `sending`, `complete`, `failed` or `cancelled`. */
  state = "waiting";

  #file;
  #transfer;
  /** What it is stored as, once that is known. */
  #name = null;
  #abort = null;
  #changed;
  #say;
  #took = "";
  /** Where all that is known of it stands. */
  #address = null;
  #timelineShown = false;
  /** How often the timeline was asked for. */
  #turn = 0;

  constructor(file, { changed, removed, say }) {
    this.#file = file;
    this.#changed = changed;
    this.#say = say;
    this.#transfer = file.size > LARGE ? new Tus(file) : new Put(file);
    this.#part("name").textContent = file.name;
    this.#part("progress").setAttribute("aria-label", `Progress of ${file.name}`);
    for (const of of this.element.querySelectorAll(".of")) of.textContent = ` ${file.name}`;
    this.#part("cancel").onclick = () => this.cancel();
    this.#part("retry").onclick = () => this.#retry();
    this.#part("remove").onclick = () => removed(this);
    this.#show("waiting", "Waits for its turn");
    if (most !== "" && file.size > Number(most)) {
      this.#fail(`it has ${size(file.size)}, and this server takes ${size(Number(most))} at most`);
    }
  }

  /** Begins, or goes on where that is possible. */
  async start() {
    const [file, rate, began] = [this.#file, new Rate(), performance.now()];
    this.#abort = new AbortController();
    this.#show("sending", "Begins");
    try {
      await readable(file);
      const stored = await this.#transfer.send({
        id: this.requestId,
        signal: this.#abort.signal,
        progress: (bytes) => this.#progress(bytes, rate),
        pausing: (ms, error) => {
          this.#text(`Goes on in ${duration(ms / 1000)}: ${error.message}`);
        },
      });
      this.#complete(stored, performance.now() - began);
    } catch (error) {
      if (error instanceof Cancelled) this.#cancelled();
      else if (error instanceof Refused) this.#fail(error.message);
      else if (error instanceof Broken) this.#fail(`${error.message}; nothing is lost by a retry`);
      else this.#fail(error.message);
    }
  }

  /** Takes it back. */
  async cancel() {
    if (this.state === "waiting") {
      this.#cancelled();
      return;
    }
    this.#part("cancel").disabled = true;
    const abort = this.#abort;
    // Should the server not answer, the connection is given up all the same.
    const late = setTimeout(() => abort.abort(), 2000);
    await this.#transfer.takeBack();
    clearTimeout(late);
    abort.abort();
  }

  /** The page goes away. */
  remember() {
    if (this.state !== "complete" && this.state !== "cancelled") this.#transfer.remember?.();
  }

  /** The server's record of it. Where everybody may know of all uploads, ids are their addresses. */
  recorded({ id, name, timeline = `/t/${id}` }) {
    this.id = id;
    this.#address = timeline;
    if (name !== null) this.#name = name;
    if (this.state === "complete" && this.#name !== null) this.#showStored();
    this.#showWay();
  }

  /** Shows what the tracer says of it, as HTML of this server; of several answers the latest. */
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
    this.#show("waiting", "Waits for its turn");
    this.#part("cancel").focus();
    this.#changed(this);
  }

  #progress(bytes, rate) {
    const total = this.#file.size;
    rate.mark(bytes, performance.now());
    this.#part("progress").value = total === 0 ? 1 : bytes / total;
    if (bytes === total) {
      this.#text(`${size(total)} sent: the server stores it`);
      return;
    }
    const words = [`${size(bytes)} of ${size(total)}`];
    const perSecond = rate.perSecond();
    if (perSecond !== null) words.push(`${size(perSecond)}/s`);
    if (perSecond > 0) words.push(`${duration((total - bytes) / perSecond)} left`);
    this.#text(words.join(", "));
  }

  #complete({ id, name, timeline }, ms) {
    this.#part("progress").value = 1;
    const [bytes, seconds] = [this.#file.size, ms / 1000];
    this.#took = `${size(bytes)} in ${duration(seconds)}`;
    // Of less, most is the way there and back.
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
    const why = name === this.#file.name ? "" : ", since its name was taken";
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

  #end(words) {
    this.#say(words);
    this.#changed(this);
  }

  /** Where all that is known of it stands, until its timeline is here. */
  #showWay() {
    if (this.#timelineShown) return;
    const way = document.createElement("a");
    way.href = this.#address;
    way.textContent = `What is known of ${this.#file.name}`;
    this.#part("timeline").replaceChildren(way);
  }

  #show(state, text) {
    const hadFocus = this.element.querySelector(".buttons").contains(document.activeElement);
    this.state = state;
    this.element.classList.remove("waiting", "sending", "complete", "failed", "cancelled");
    this.element.classList.add(state);
    const underWay = state === "waiting" || state === "sending";
    this.#part("cancel").hidden = !underWay;
    this.#part("cancel").disabled = false;
    this.#part("retry").hidden = state !== "failed" && state !== "cancelled";
    this.#part("remove").hidden = underWay;
    this.#part("progress").hidden = !underWay;
    this.#text(text);
    // A button that is gone would take the focus with it.
    if (hadFocus) this.element.querySelector(".buttons button:not([hidden])").focus();
  }

  #text(text) {
    this.#part("state").textContent = text;
  }

  #part(name) {
    return this.element.querySelector(name === "progress" ? name : `.${name}`);
  }
}

/** A folder looks like a file, and so does what was removed: both show only when read. */
async function readable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Error("it is a folder, or cannot be read");
  }
}

/** `crypto.randomUUID` is only there over HTTPS and on this machine. */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}
