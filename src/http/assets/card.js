// A summary or a histogram: its numbers, and the picture of its buckets.

import { element, setText } from "./dom.js";
import { Origin } from "./exemplars.js";
import { change, number, rounded, shown } from "./format.js";
import { bucketTable, picture } from "./histogram.js";
import { Sparkline } from "./sparkline.js";
import { labelsOf } from "./value-row.js";

const ESTIMATED = "Estimated from the buckets, as histogram_quantile does, over all observations since the start";

const calculated = (value, digits) => (Number.isFinite(value) ? rounded(value, digits) : "–");

const nameOf = (quantile) => `p${Math.round(number(quantile) * 100)}`;

export class Card {
  #shown = "";
  #now = NaN;

  /** `kind` is "buckets" of a histogram, "quantiles" of a summary. */
  constructor(kind, key, series, copy) {
    this.kind = kind;
    this.key = key;
    this.first = series.count;
    // The quantiles of a summary are its own, and have a table.
    this.estimates = kind === "buckets" ? series.quantiles.map(([quantile]) => nameOf(quantile)) : [];
    this.facts = ["Count", "Sum", "Mean", ...this.estimates].map((name) => {
      const value = element("dd");
      const title = this.estimates.includes(name) ? ESTIMATED : null;
      return { value, element: element("div", { title }, element("dt", {}, name), value) };
    });
    this.trend = new Sparkline();
    this.grown = element("span", { class: "muted note" });
    this.origin = new Origin();
    this.content = element("div");
    this.element = element(
      "section",
      { class: "card" },
      element("h4", {}, labelsOf(series)),
      copy,
      element("dl", { class: "facts" }, ...this.facts.map((fact) => fact.element)),
      element("p", { class: "grown" }, this.trend.element, this.grown, this.origin.start),
      this.content,
      this.origin.exemplars,
    );
    this.trend.add(number(series.count));
  }

  update(series) {
    this.#now = number(series.count);
    const mean = number(series.sum) / this.#now;
    const estimates = this.estimates.map((_, at) => calculated(number(series.quantiles[at][1]), 5));
    const texts = [shown(series.count), shown(series.sum), calculated(mean, 6), ...estimates];
    this.facts.forEach((fact, at) => setText(fact.value, texts[at]));
    const by = change(this.first, series.count);
    setText(this.grown, by && `${by} observations since you opened it`);
    this.origin.update(series);
    // Drawn anew only where something has changed: a selection in it stays otherwise.
    const { exemplars: _, ...drawn } = series;
    const now = JSON.stringify(drawn);
    if (now === this.#shown) return;
    this.#shown = now;
    if (this.kind === "buckets") this.#showBuckets(series);
    else this.content.replaceChildren(quantileTable(series.quantiles));
  }

  tick() {
    this.trend.add(this.#now);
  }

  #showBuckets(series) {
    const scroller = element("div", { class: "scroller" }, bucketTable(series));
    if (this.details) {
      this.pictureHolder.replaceChildren(picture(series));
      this.tableHolder.replaceChildren(scroller);
      setText(this.native, nativeText(series));
      return;
    }
    this.pictureHolder = element("div", {}, picture(series));
    this.tableHolder = element("div", {}, scroller);
    this.native = element("p", { class: "muted note" }, nativeText(series));
    this.details = element("details", {}, element("summary", {}, "Buckets as a table"), this.tableHolder);
    this.content.append(this.pictureHolder, this.native, this.details);
  }
}

function nativeText({ native, buckets }) {
  if (!native) return "";
  const zero = number(native.zero_threshold) > 0 ? `, zero bucket up to ${shown(native.zero_threshold)}` : "";
  const classic = buckets && buckets.length > 0 ? "; it has classic buckets too" : "";
  return `Native histogram, schema ${native.schema}${zero}${classic}`;
}

function quantileTable(quantiles) {
  if (quantiles.length === 0) return element("p", { class: "muted note" }, "No quantiles.");
  const rows = quantiles.map(([quantile, value]) =>
    element("tr", {}, element("th", { scope: "row" }, quantile), element("td", {}, shown(value))),
  );
  const head = ["Quantile", "Value"].map((text) => element("th", { scope: "col" }, text));
  return element(
    "table",
    { class: "numbers" },
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...rows),
  );
}
