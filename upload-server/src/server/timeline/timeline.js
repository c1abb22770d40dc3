// The page is complete without this. While something may still follow, it is shown as it comes: a
// timeline is handed in once more when its connection has ended.

const article = () => document.querySelector("article.timeline");
let source = null;

async function renew() {
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("article.timeline");
  if (fresh === null) return;
  const all = (selector) => [...article().querySelectorAll(selector)];
  const stops = () => all("a, summary, [tabindex]");
  const focus = stops().indexOf(document.activeElement);
  const opened = all("details").map(({ open }) => open);
  article().replaceWith(document.adoptNode(fresh));
  all("details").forEach((part, number) => (part.open = opened[number] ?? false));
  stops()[focus]?.focus();
  settle();
}

function settle() {
  const wanted = article().dataset.open === "true" && document.visibilityState === "visible";
  if (wanted && source === null) {
    source = new EventSource(new URL("../events", import.meta.url));
    source.addEventListener("timeline", (event) => {
      if (JSON.parse(event.data).upload === article().dataset.upload) renew();
    });
    // Told first whenever the stream begins: something may have been missed before.
    source.addEventListener("tracer", renew);
  } else if (!wanted && source !== null) {
    source.close();
    source = null;
  }
}

document.addEventListener("visibilitychange", settle);
// A page that is kept for the way back may hold no connection.
addEventListener("pagehide", () => {
  source?.close();
  source = null;
});
addEventListener("pageshow", settle);
settle();
// What a step means goes away when it is in the way.
addEventListener("keydown", ({ key }) => {
  if (key === "Escape") document.activeElement.closest(".steps > li")?.blur();
});
