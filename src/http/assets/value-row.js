// A series that has one number: a row of the table of its family.

import { element, setText } from "./dom.js";
import { Origin } from "./exemplars.js";
import { change, moment, number, shown } from "./format.js";
import { labelList } from "./labels.js";
import { Sparkline } from "./sparkline.js";

const TIMES = /(_timestamp|_time|_created)(_seconds)?$/;

/** The labels that a series has beside those of its group. */
export const labelsOf = (series) =>
  series.labels.length > 0 ? labelList(series.labels) : element("span", { class: "muted" }, "no other labels");

/** The heads of the columns. */
export function head() {
  const unseen = (text) => element("span", { class: "unseen" }, text);
  const names = ["Labels", "Value", unseen("Copy")];
  return element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)));
}

export class ValueRow {
  kind = "value";
  #now = NaN;

  constructor(key, series, family, copy) {
    this.key = key;
    this.isTime = TIMES.test(family.name);
    this.first = series.value;
    this.value = element("span");
    this.note = element("span", { class: "muted note" });
    this.origin = new Origin();
    this.trend = new Sparkline();
    this.element = element(
      "tr",
      {},
      element("th", { scope: "row" }, labelsOf(series), this.origin.start, this.origin.exemplars),
      element("td", {}, this.trend.element, this.value, this.note),
      element("td", {}, copy),
    );
    this.trend.add(number(series.value));
  }

  update(series) {
    setText(this.value, shown(series.value));
    this.#now = number(series.value);
    const isTime = this.isTime && this.#now > 1e8 && this.#now < 1e11;
    setText(this.note, isTime ? moment(new Date(this.#now * 1000).toISOString()) : this.#change(series.value));
    this.origin.update(series);
  }

  #change(value) {
    const by = change(this.first, value);
    return by && `${by} since you opened it`;
  }

  tick() {
    this.trend.add(this.#now);
  }
}
