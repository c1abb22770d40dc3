// Numbers as people read them: decimal units, as disks and networks are sold.

/** So many bytes, such as `3.4 MB`. */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  // What would be rounded up to 1000.0 is one of the next unit.
  while (unit < units.length - 1 && bytes >= (unit === 0 ? 1000 : 999.95)) {
    bytes /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? bytes : bytes.toFixed(1)} ${units[unit]}`;
}

/** So many seconds, such as `1 min 5 s`. */
export function duration(seconds) {
  if (seconds < 0.1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** How fast something goes: over the latest seconds, so that a pause shows. */
export class Rate {
  static #WINDOW_MS = 3000;
  #marks = [];

  /** `bytes` are done at this time (milliseconds). */
  mark(bytes, now) {
    this.#marks.push({ bytes, now });
    while (this.#marks.length > 2 && now - this.#marks[1].now > Rate.#WINDOW_MS) {
      this.#marks.shift();
    }
  }

  /** Bytes a second; `null` as long as that cannot be told. */
  perSecond() {
    const first = this.#marks[0];
    const last = this.#marks.at(-1);
    const ms = this.#marks.length > 1 ? last.now - first.now : 0;
    return ms >= 200 ? ((last.bytes - first.bytes) / ms) * 1000 : null;
  }
}
