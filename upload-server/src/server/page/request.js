// One request with XMLHttpRequest: the only way in all browsers to learn how much of a body has been
// sent. (`fetch` would need a stream as its body, with `duplex`, which not all browsers have.)

/** Where the server's addresses begin: a proxy may offer it beneath a path of its own. */
const BASE = new URL("..", import.meta.url);

/** The address of a path of the server, which begins without a slash. */
export function address(path) {
  return new URL(path, BASE).href;
}

/** The address of the timeline that an answer links to (RFC 8288), and the id of its upload. */
export function timelineOf(answer) {
  const link = answer?.getResponseHeader("Link") ?? "";
  const [, target] = link.match(/<([^>]*)>; rel="describedby"/) ?? [];
  if (target === undefined) return { id: null };
  const timeline = new URL(target, answer.responseURL).href;
  const [, id = null] = timeline.match(/\/t\/(\d+)[^/]*$/) ?? [];
  return { id, timeline };
}

/** The server refused the request. The message is the `detail` of its answer (RFC 9457). */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** No answer came. */
export class Broken extends Error {}

/** The user cancelled the request. */
export class Cancelled extends Error {}

/**
 * Sends a request. Returns the finished XMLHttpRequest.
 *
 * `progress` is called with how many bytes of the body the browser has handed to the system.
 * @throws Refused, Broken or Cancelled
 */
export function request(method, address, { headers = {}, body = null, progress, signal } = {}) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(new Cancelled());
      return;
    }
    const request = new XMLHttpRequest();
    request.open(method, address);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    if (progress) request.upload.onprogress = (event) => progress(event.loaded);
    const abort = () => request.abort();
    signal?.addEventListener("abort", abort);
    request.onload = () => {
      if (request.status < 400) resolve(request);
      else reject(new Refused(request.status, detail(request)));
    };
    request.onerror = () => reject(new Broken("the connection broke"));
    request.onabort = () => reject(new Cancelled());
    request.onloadend = () => signal?.removeEventListener("abort", abort);
    request.send(body);
  });
}

function detail(request) {
  if (request.status === 401) {
    return "the server's token is missing or wrong: reload the page, and enter it as the password";
  }
  try {
    return JSON.parse(request.responseText).detail;
  } catch {
    return `the server answered ${request.status} ${request.statusText}`;
  }
}
