// When a series began, and its latest exemplars.

import { element, setText } from "./dom.js";
import { counted, moment, shown } from "./format.js";
import { labelList } from "./labels.js";
import { clock, setClock } from "./row.js";

/** The start of a series, and below it the exemplars in a table that opens. */
export class Origin {
  #shown = "[]";

  constructor() {
    this.at = clock("start");
    this.start = element("span", { class: "muted note", hidden: true }, "started ", this.at);
    this.summary = element("summary");
    this.holder = element("div", { class: "scroller" });
    this.exemplars = element("details", { class: "exemplars", hidden: true }, this.summary, this.holder);
  }

  update({ started_at: startedAt, exemplars }) {
    this.start.hidden = !startedAt;
    setClock(this.at, startedAt);
    this.exemplars.hidden = exemplars.length === 0;
    // A selection in what has not changed stays.
    const now = JSON.stringify(exemplars);
    if (now === this.#shown) return;
    this.#shown = now;
    setText(this.summary, counted(exemplars.length, "exemplar"));
    this.holder.replaceChildren(table(exemplars));
  }
}

function table(exemplars) {
  const head = ["Labels", "Value", "Time"].map((text) => element("th", { scope: "col" }, text));
  const rows = exemplars.map(({ labels, value, at }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, labels.length > 0 ? labelList(labels) : "no labels"),
      element("td", {}, shown(value)),
      element("td", {}, at ? moment(at) : "–"),
    ),
  );
  return element(
    "table",
    { class: "numbers" },
    element("caption", { class: "unseen" }, "The latest exemplars"),
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...rows),
  );
}
