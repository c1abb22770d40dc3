// The upload page. Without this script it is a plain form; with it, each file that is chosen or
// dropped is an upload of its own, with its progress and, once the tracer has told it, its timeline.
//
// Only what Chromium, Firefox and Safari all have is used:
// - no folders (`webkitdirectory`, `getAsFileSystemHandle` differ): what is dropped is taken as files;
// - no request streams (`duplex: "half"` is Chromium's): XMLHttpRequest sends a Blob from the disk and
//   tells its progress;
// - with HTTP/1.1, all pages of a server share six connections: one EventSource a page, closed while
//   the page is not seen, and three uploads at a time;
// - a page that waits for the way back (bfcache) may hold no connection, and in Firefox no listener of
//   `beforeunload`: the first is closed at `pagehide`, the other is only there during uploads;
// - `crypto.randomUUID` and the Web Locks are missing outside of secure contexts, which
//   `http://files.example` is not;
// - HTTP authentication of the page also serves its requests and its EventSource, in all three;
// - `light-dark()` in the style is there since Chromium 123, Firefox 120 and Safari 17.5.

import { Item } from "./item.js";
import { Live } from "./live.js";

/** How many uploads are under way at a time: of six connections, some stay free for the page. */
const AT_A_TIME = 3;

/** How often the lists are asked for anew, at most, in milliseconds. */
const LISTS_MS = 1000;

/** How many timelines are remembered that came before their uploads' ids. */
const MOST_EARLY = 100;

const form = document.getElementById("form");
const choose = document.getElementById("choose");
const tracer = document.getElementById("tracer");
const lists = document.getElementById("lists");

const items = new Set();
/** Uploads whose timelines came before their ids were known here. */
const early = new Set();

choose.onchange = () => {
  add(choose.files);
  // The same file may be chosen again.
  choose.value = "";
};
form.onsubmit = (event) => event.preventDefault();
form.querySelector("button").hidden = true;
form.querySelector(".scripted").hidden = false;

addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) document.body.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  document.body.classList.remove("dropping");
  add(event.dataTransfer.files);
});
addEventListener("pagehide", () => {
  for (const item of items) item.remember();
});

function add(files) {
  document.getElementById("here").hidden = false;
  for (const file of files) {
    const item = new Item(file, { changed, removed, say });
    items.add(item);
    document.getElementById("items").append(item.element);
  }
  goOn();
}

/** Starts what waits, as far as there is room. */
function goOn() {
  const inState = (state) => [...items].filter((item) => item.state === state);
  const room = Math.max(AT_A_TIME - inState("sending").length, 0);
  for (const item of inState("waiting").slice(0, room)) item.start();
  const busy = inState("sending").length > 0;
  removeEventListener("beforeunload", ask);
  if (busy) addEventListener("beforeunload", ask);
}

function ask(event) {
  event.preventDefault();
}

function changed(item) {
  goOn();
  if (item.state !== "waiting") refreshLists();
  if (item.id !== null && early.delete(item.id)) item.fetchTimeline();
}

function removed(item) {
  const next = item.element.nextElementSibling ?? item.element.previousElementSibling;
  items.delete(item);
  item.element.remove();
  (next?.querySelector(".buttons button:not([hidden])") ?? choose).focus();
  document.getElementById("here").hidden = items.size === 0;
}

/** For who does not see. */
function say(words) {
  document.getElementById("news").textContent = words;
}

const live = new Live();
live.addEventListener("tracer", ({ detail }) => {
  tracer.textContent = detail.attached
    ? "The tracer is attached: what TCP does for each upload stands beside it."
    : "No tracer is attached: uploads are taken, and nobody sees what TCP does for them. " +
      "Start one as root on the server's machine: tracer";
});
live.addEventListener("lost", () => {
  tracer.textContent = "The server cannot be heard: timelines come when it can.";
});
live.addEventListener("open", () => {
  // Something may have been missed before.
  for (const item of items) if (item.id !== null) item.fetchTimeline();
});
live.addEventListener("upload", ({ detail }) => {
  for (const item of items) if (item.requestId === detail.request_id) item.recorded(detail);
  refreshLists();
});
live.addEventListener("timeline", ({ detail }) => {
  const item = [...items].find((item) => item.id === detail.upload);
  if (item) item.fetchTimeline();
  else remember(detail.upload);
});

/** Most are other pages' uploads, of which there may be many. */
function remember(id) {
  early.add(id);
  if (early.size > MOST_EARLY) early.delete(early.values().next().value);
}

let refreshing = false;

/** Asks for the lists anew: they are the server's, in this page as without a script. */
function refreshLists() {
  if (refreshing) return;
  refreshing = true;
  setTimeout(async () => {
    refreshing = false;
    const answer = await fetch(location.href).catch(() => null);
    if (!answer?.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    // Nobody is to lose the place where he reads.
    if (lists.contains(document.activeElement)) return;
    lists.replaceChildren(...page.getElementById("lists").childNodes);
  }, LISTS_MS);
}
