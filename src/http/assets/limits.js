// The limits, and how full they are.

import * as address from "./address.js";
import { arrange, element, setAttribute, setText } from "./dom.js";
import { count } from "./format.js";
import { section, table } from "./tables.js";

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];

/** An amount of bytes, in the largest unit that it has one of. */
function bytes(amount) {
  let [value, unit] = [amount, 0];
  while (value >= 1024 && unit < UNITS.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${count(Number(value.toFixed(value < 10 ? 1 : 0)))} ${UNITS[unit]}`;
}

const isBytes = (limit) => /bytes/.test(limit);
const amountOf = (limit, amount) => (isBytes(limit) ? bytes(amount) : count(amount));

/** What a limit allows. A duration is shown as the settings have it. */
function boundText({ limit, bound }) {
  if (!limit.includes(".") || limit.includes(" ")) return "as each rule says";
  if (bound === "") return "no limit";
  return /^\d+$/.test(bound) ? amountOf(limit, Number(bound)) : bound;
}

class Limit {
  constructor(limit) {
    const { limit: name, used } = limit;
    this.name = element("th", { scope: "row" });
    [this.used, this.bound, this.hits] = [element("span"), element("td"), element("td")];
    // Without a bound that it could fill there is no meter.
    this.meter = element("meter", { min: 0, max: 1, "aria-label": `How full ${name} is`, hidden: true });
    const use = element("td", {}, this.used, " ", this.meter);
    this.element = element("tr", { tabindex: "-1", "data-place": name }, this.name, use, this.bound, this.hits);
    if (used === null) setText(this.used, "");
  }

  update(limit, hasSettings) {
    const { limit: name, used, most, hits, hit_lately: isLate, bound } = limit;
    this.#link(name, hasSettings);
    if (used !== null) setText(this.used, amountOf(name, used));
    this.meter.hidden = used === null || bound === "" || most === 0;
    if (!this.meter.hidden) {
      setAttribute(this.meter, "max", most);
      setAttribute(this.meter, "high", most * 0.9);
      setAttribute(this.meter, "value", used);
      setAttribute(this.meter, "title", `${count(Math.round((100 * used) / most))} %`);
    }
    setText(this.bound, boundText(limit));
    setText(this.hits, hits === 0 ? "" : `${count(hits)}${isLate ? ", lately" : ""}`);
    this.element.classList.toggle("troubled", isLate);
  }

  /** The name leads to the setting, for those who may see it. */
  #link(name, hasSettings) {
    const isSetting = hasSettings && !name.includes(" ");
    if (this.name.firstChild && Boolean(this.name.firstElementChild) === isSetting) return;
    const href = address.write({ ...address.read(), view: "status", at: `setting ${name}` });
    this.name.replaceChildren(isSetting ? element("a", { href }, name) : name);
  }
}

export class Limits {
  #rows = new Map();
  #body = element("tbody");

  constructor() {
    const { id, element: part } = section("limits", "Limits");
    const note = element("p", { class: "muted note" }, "How often each was hit is counted since the start.");
    this.element = part;
    part.append(note, table(id, ["Limit", "In use", "At most", "Hits"], this.#body));
  }

  show({ limits, settings }) {
    const rows = limits.map((limit) => {
      const row = this.#rows.get(limit.limit) || new Limit(limit);
      this.#rows.set(limit.limit, row);
      row.update(limit, settings !== null);
      return row.element;
    });
    arrange(this.#body, rows);
  }
}
