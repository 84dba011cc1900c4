// The series of an opened family: a table of values, or a card for each histogram or summary.

import * as api from "./api.js";
import { seriesButton } from "./copy.js";
import { arrange, element, newId, setText } from "./dom.js";
import { count, counted, growth, labelName, labelValue, moment, number, plain } from "./format.js";
import { bucketTable, picture } from "./histogram.js";
import { tellFailure } from "./row.js";

/** A family with more series than this gets a filter of its own. */
const FEW = 20;

/** A value of more characters than this scrolls in a place of its own. */
const LONG = 500;

const TIMES = /(_timestamp|_time|_created)(_seconds)?$/;

/** Labels as text nodes: names quiet, values plain. */
export function labelList(labels, name = "labels") {
  const parts = labels.map(([label, value]) =>
    element(
      "span",
      { class: `label${label === "job" ? " job" : ""}${value.length > LONG ? " long" : ""}` },
      element("span", { class: "name" }, labelName(label)),
      "=",
      element("span", { class: "value" }, labelValue(value)),
    ),
  );
  return element("span", { class: name }, ...parts.flatMap((part) => [part, " "]));
}

export class SeriesList {
  #group;
  #family;
  #seen = new Map();
  #words = "";
  #loaded = 0;
  #turn = 0;

  /** The series of a family of a group; `element` shows them once they are there. */
  constructor(group, family) {
    this.#group = group;
    this.#family = family;
    this.list = element("div", { class: "series" });
    this.state = element("p", { class: "quietly", role: "status" }, "Loading the series");
    this.more = element("button", { type: "button", hidden: true, onclick: () => this.#more() }, "Show more series");
    this.element = element("div", { class: "family-body" }, this.list, this.state, this.more);
    if (family.series > FEW) this.element.prepend(this.#filter());
  }

  #filter() {
    const id = newId();
    const input = element("input", {
      id,
      type: "search",
      placeholder: `Filter ${counted(this.#family.series, "series", "series")}`,
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => {
        this.#words = input.value;
        this.#loaded = 0;
        this.refresh();
      },
    });
    const label = element("label", { for: id, class: "unseen" }, `Filter the series of ${this.#family.name}`);
    return element("p", { class: "narrow" }, label, input);
  }

  /** Loads what is shown again, or the first series. */
  async refresh() {
    await this.#load(0, Math.max(this.#loaded, api.SERIES));
  }

  async #more() {
    this.more.disabled = true;
    const last = this.list.querySelector("tbody, .cards")?.lastElementChild;
    await this.#load(this.#loaded, api.SERIES);
    this.more.disabled = false;
    if (this.more.hidden) last?.scrollIntoView({ block: "nearest" });
  }

  async #load(offset, wanted) {
    const turn = ++this.#turn;
    const rows = [];
    let answer;
    try {
      do {
        const limit = wanted - rows.length;
        answer = await api.series(this.#group.id, this.#family.name, this.#words, offset + rows.length, limit);
        rows.push(...answer.series);
      } while (answer.series.length > 0 && rows.length < Math.min(wanted, answer.matching - offset));
    } catch (error) {
      if (turn === this.#turn) tellFailure(this.state, "series", error, () => this.refresh());
      return;
    }
    if (turn !== this.#turn) return;
    this.#show(offset, rows, answer);
  }

  #show(offset, rows, { matching, family }) {
    const before = offset > 0 ? [...this.#seen.values()].slice(0, offset) : [];
    const seen = new Map(before.map((row) => [row.key, row]));
    for (const series of rows) {
      const key = JSON.stringify(series.labels);
      const kind = "value" in series ? "value" : "card";
      const known = this.#seen.get(key);
      const row = known && known.kind === kind ? known : this.#row(kind, key, series);
      row.update(series);
      seen.set(key, row);
    }
    this.#seen = seen;
    this.#loaded = seen.size;
    this.#place([...seen.values()]);
    this.state.hidden = seen.size > 0;
    this.state.textContent = this.#words ? "No series match." : "No series.";
    this.more.hidden = seen.size >= matching;
    setText(this.more, `Show more series (${count(seen.size)} of ${count(matching)})`);
    this.#family = family || this.#family;
  }

  #place(rows) {
    const isTable = rows.length > 0 && rows[0].kind === "value";
    let holder = this.list.querySelector(isTable ? "tbody" : ".cards");
    if (!holder) {
      holder = element(isTable ? "tbody" : "div", { class: isTable ? false : "cards" });
      this.list.replaceChildren(isTable ? this.#table(holder) : holder);
    }
    arrange(holder, rows.map((row) => row.element));
  }

  #table(body) {
    const head = ["Labels", "Value"].map((text) => element("th", { scope: "col" }, text));
    head.push(element("td"));
    const caption = element("caption", { class: "unseen" }, `Series of ${this.#family.name}`);
    return element("table", { class: "values" }, caption, element("thead", {}, element("tr", {}, ...head)), body);
  }

  #row(kind, key, series) {
    const copy = seriesButton(this.#group, this.#family, series);
    return kind === "value" ? new ValueRow(key, series, this.#family, copy) : new Card(key, series, copy);
  }
}

const noLabels = () => element("span", { class: "muted" }, "no other labels");

const labelsOf = (series) => (series.labels.length > 0 ? labelList(series.labels) : noLabels());

/** A series that has one number. */
class ValueRow {
  kind = "value";

  constructor(key, series, family, copy) {
    this.key = key;
    this.isTime = TIMES.test(family.name);
    this.first = family.type === "counter" ? series.value : null;
    this.value = element("span");
    this.note = element("span", { class: "muted note" });
    this.element = element(
      "tr",
      {},
      element("th", { scope: "row" }, labelsOf(series)),
      element("td", {}, this.value, this.note),
      element("td", {}, copy),
    );
  }

  update(series) {
    setText(this.value, plain(series.value));
    const value = number(series.value);
    const isTime = this.isTime && value > 1e8 && value < 1e11;
    setText(this.note, isTime ? moment(new Date(value * 1000).toISOString()) : this.#growth(series.value));
  }

  #growth(value) {
    const grown = this.first === null ? "" : growth(this.first, value);
    return grown && `${grown} since you opened it`;
  }
}

/** A summary or a histogram. */
class Card {
  kind = "card";
  #shown = "";

  constructor(key, series, copy) {
    this.key = key;
    this.facts = ["Count", "Sum", "Mean"].map((name) => {
      const value = element("dd");
      return { value, element: element("div", {}, element("dt", {}, name), value) };
    });
    this.first = series.count;
    this.grown = element("p", { class: "muted note" });
    this.content = element("div");
    this.element = element(
      "section",
      { class: "card" },
      element("h4", {}, labelsOf(series)),
      copy,
      element("dl", { class: "facts" }, ...this.facts.map((fact) => fact.element)),
      this.grown,
      this.content,
    );
  }

  update(series) {
    const mean = number(series.sum) / number(series.count);
    const meanText = Number.isFinite(mean) ? plain(String(Number(mean.toPrecision(6)))) : "–";
    const texts = [plain(series.count), plain(series.sum), meanText];
    texts.forEach((text, at) => setText(this.facts[at].value, text));
    const grown = growth(this.first, series.count);
    setText(this.grown, grown && `${grown} observations since you opened it`);
    // Drawn anew only where something has changed: a selection in it stays otherwise.
    const now = JSON.stringify(series);
    if (now === this.#shown) return;
    this.#shown = now;
    if (series.quantiles) {
      this.content.replaceChildren(quantileTable(series.quantiles));
      return;
    }
    const table = bucketTable(series);
    const scroller = element("div", { class: "scroller" }, table);
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
  const zero = number(native.zero_threshold) > 0 ? `, zero bucket up to ${plain(native.zero_threshold)}` : "";
  const classic = buckets && buckets.length > 0 ? "; it has classic buckets too" : "";
  return `Native histogram, schema ${native.schema}${zero}${classic}`;
}

function quantileTable(quantiles) {
  if (quantiles.length === 0) return element("p", { class: "muted note" }, "No quantiles.");
  const rows = quantiles.map(([quantile, value]) =>
    element("tr", {}, element("td", {}, plain(quantile)), element("td", {}, plain(value))),
  );
  const head = ["Quantile", "Value"].map((text) => element("th", { scope: "col" }, text));
  return element(
    "table",
    { class: "numbers" },
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...rows),
  );
}
