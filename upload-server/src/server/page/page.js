// The upload page. Without this script it is a plain form. With it, each chosen or dropped file is an
// upload of its own, which shows its progress and, once a tracer hands it in, its timeline.
//
// The script uses only features that Chromium, Firefox and Safari share:
// - No folders: `webkitdirectory` and `getAsFileSystemHandle` differ between browsers. Each dropped
//   item is treated as a file.
// - No request streams: only Chromium has `duplex: "half"`. XMLHttpRequest sends a Blob from the disk
//   and reports its progress.
// - With HTTP/1.1, all pages of a server share six connections. So each page has one EventSource, closed
//   while the page is hidden, and runs three uploads at a time.
// - A page in the back/forward cache may hold no connection and, in Firefox, no `beforeunload`
//   listener. So the EventSource is closed at `pagehide`, and the listener exists during uploads alone.
// - `crypto.randomUUID` and Web Locks are missing outside of secure contexts. `http://files.example` is
//   not one.
// - In all three, HTTP authentication of the page also applies to its requests and its EventSource.
// - `light-dark()` in the style needs Chromium 123, Firefox 120 or Safari 17.5.

import { Item } from "./item.js";
import { Live } from "./live.js";
import { address } from "./request.js";

/** Concurrent uploads. Some of the six connections stay free for the page. */
const MAX_CONCURRENT = 3;

/** The lists are fetched at most this often, in milliseconds. */
const LISTS_MS = 1000;

/** How many uploads of unknown id are remembered. */
const MAX_EARLY = 100;

const form = document.getElementById("form");
const choose = document.getElementById("choose");
const tracer = document.getElementById("tracer");
const lists = document.getElementById("lists");

// The server may not know the address by which this page reached it.
document.getElementById("address").textContent = address("");

const items = new Set();
/** Ids of uploads whose timelines came before this page knew the ids. */
const early = new Set();

choose.onchange = () => {
  add(choose.files);
  // Otherwise, choosing the same file again would be no change.
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
    const item = new Item(file, { changed, removed, announce });
    items.add(item);
    document.getElementById("items").append(item.element);
  }
  startWaiting();
}

/** Starts waiting uploads, up to the limit. */
function startWaiting() {
  const inState = (state) => [...items].filter((item) => item.state === state);
  const room = Math.max(MAX_CONCURRENT - inState("sending").length, 0);
  for (const item of inState("waiting").slice(0, room)) item.start();
  const busy = inState("sending").length > 0;
  removeEventListener("beforeunload", confirmLeaving);
  if (busy) addEventListener("beforeunload", confirmLeaving);
}

function confirmLeaving(event) {
  event.preventDefault();
}

function changed(item) {
  startWaiting();
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

/** For screen readers. */
function announce(text) {
  document.getElementById("news").textContent = text;
}

const live = new Live();
live.addEventListener("tracer", ({ detail }) => {
  tracer.textContent = detail.attached
    ? "The tracer is attached: each upload shows its TCP timeline."
    : "No tracer is attached: uploads work, but have no TCP timelines. " +
      "To see them, run as root on the server's machine: tracer";
});
live.addEventListener("lost", () => {
  tracer.textContent = "The connection to the server is lost: timelines follow when it is back.";
});
live.addEventListener("open", () => {
  // Events before this moment may have been missed.
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

/** Most of these are uploads of other pages, and there may be many. */
function remember(id) {
  early.add(id);
  if (early.size > MAX_EARLY) early.delete(early.values().next().value);
}

let refreshing = false;

/** Fetches the lists, which the server renders: the same as without a script. */
function refreshLists() {
  if (refreshing) return;
  refreshing = true;
  setTimeout(async () => {
    refreshing = false;
    const answer = await fetch(location.href).catch(() => null);
    if (!answer?.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    // Replacing the lists would take the focus away from a user who is there.
    if (lists.contains(document.activeElement)) return;
    lists.replaceChildren(...page.getElementById("lists").childNodes);
  }, LISTS_MS);
}
