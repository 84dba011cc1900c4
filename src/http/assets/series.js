// The series of an opened family: a table of values, or a card for each histogram or summary.

import * as api from "./api.js";
import { Card } from "./card.js";
import { seriesButton } from "./copy.js";
import { arrange, element, newId, setText } from "./dom.js";
import { count, counted } from "./format.js";
import { tellFailure } from "./row.js";
import { ValueRow, head } from "./value-row.js";

/** A family with more series than this gets a filter of its own. */
const FEW = 20;

/** What a series has; it may have been replaced by another. */
const kindOf = (series) => ["value", "buckets"].find((name) => name in series) || "quantiles";

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
      const kind = kindOf(series);
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
    let holder = this.list.querySelector(isTable ? ":scope > table > tbody" : ":scope > .cards");
    if (!holder) {
      holder = element(isTable ? "tbody" : "div", { class: isTable ? false : "cards" });
      this.list.replaceChildren(isTable ? this.#table(holder) : holder);
    }
    arrange(holder, rows.map((row) => row.element));
  }

  #table(body) {
    const caption = element("caption", { class: "unseen" }, `Series of ${this.#family.name}`);
    return element("table", { class: "values" }, caption, element("thead", {}, head()), body);
  }

  #row(kind, key, series) {
    const copy = seriesButton(this.#group, this.#family, series);
    return kind === "value" ? new ValueRow(key, series, this.#family, copy) : new Card(kind, key, series, copy);
  }

  /** Notes what each series has now, once at each refresh of the page. */
  tick() {
    for (const row of this.#seen.values()) row.tick();
  }
}
