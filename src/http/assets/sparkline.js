// The line of a value over the latest refreshes.

import { shape, setAttribute } from "./dom.js";
import { rounded } from "./format.js";

/** How many refreshes the line shows: five minutes. */
const POINTS = 60;
const [WIDTH, HEIGHT] = [80, 20];

/** A line that is there once the value has changed. */
export class Sparkline {
  #values = [];
  #line = shape("path", { "vector-effect": "non-scaling-stroke" });

  constructor() {
    this.element = shape(
      "svg",
      {
        class: "sparkline",
        viewBox: `-1 -1 ${WIDTH + 2} ${HEIGHT + 2}`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": "",
        hidden: true,
      },
      this.#line,
    );
  }

  /** Adds the value of a refresh; what is no number leaves a gap. */
  add(value) {
    const isNew = this.#values.length > 0 && !Object.is(value, this.#values[this.#values.length - 1]);
    this.#values.push(value);
    if (this.#values.length > POINTS) this.#values.shift();
    if (isNew) setAttribute(this.element, "hidden", null);
    if (!this.element.hasAttribute("hidden")) this.#draw();
  }

  #draw() {
    const finite = this.#values.filter(Number.isFinite);
    const [least, most] = [Math.min(...finite), Math.max(...finite)];
    // A difference of two large numbers may be more than the largest number.
    const part = (value) => (most > least ? (value / 2 - least / 2) / (most / 2 - least / 2) : 0.5);
    const step = WIDTH / (this.#values.length - 1);
    let isGap = true;
    const steps = this.#values.map((value, at) => {
      const command = isGap ? "M" : "L";
      isGap = !Number.isFinite(value);
      return isGap ? "" : `${command}${(at * step).toFixed(2)} ${((1 - part(value)) * HEIGHT).toFixed(2)}`;
    });
    setAttribute(this.#line, "d", steps.join(""));
    setAttribute(this.element, "aria-label", this.#description(finite, least, most));
  }

  #description(finite, least, most) {
    const told = `The last ${this.#values.length} refreshes`;
    if (finite.length === 0) return `${told}: no numbers`;
    const [first, last, lowest, highest] = [finite[0], finite[finite.length - 1], least, most].map((value) =>
      rounded(value, 6),
    );
    return `${told}: from ${first} to ${last}, lowest ${lowest}, highest ${highest}`;
  }
}
