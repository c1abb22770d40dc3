// Numbers as people read them. Sizes have decimal units, as disks and networks are sold.

/** Bytes, such as `3.4 MB` or `340 MB`: as the server writes them. */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (unit < units.length - 1 && bytes >= 1000) {
    bytes /= 1000;
    unit += 1;
  }
  const number =
    unit === 0 || bytes >= 100 ? Math.floor(bytes) : (Math.floor(bytes * 10) / 10).toFixed(1);
  return `${number} ${units[unit]}`;
}

/** Seconds, such as `1 min 5 s`. */
export function duration(seconds) {
  if (seconds < 0.1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** The rate over the latest seconds, so that a pause shows. */
export class Rate {
  static #WINDOW_MS = 3000;
  #marks = [];

  /** `bytes` in all are done at this time (milliseconds). */
  mark(bytes, now) {
    this.#marks.push({ bytes, now });
    while (this.#marks.length > 2 && now - this.#marks[1].now > Rate.#WINDOW_MS) {
      this.#marks.shift();
    }
  }

  /** Bytes per second, or `null` while too little is known. */
  perSecond() {
    const first = this.#marks[0];
    const last = this.#marks.at(-1);
    const ms = this.#marks.length > 1 ? last.now - first.now : 0;
    return ms >= 200 ? ((last.bytes - first.bytes) / ms) * 1000 : null;
  }
}
