// The sources of an open group, and what each contributes: a table, loaded when it is opened.

import { SOURCES } from "./address.js";
import * as api from "./api.js";
import { arrange, element, setText } from "./dom.js";
import { count, counted, plain } from "./format.js";
import { OpeningRow, clock, setClock, tellFailure } from "./row.js";
import { labelList } from "./series.js";

const EXPLAINED =
  "A latest value is merged with those of the other sources. A total is what the source pushed last, of which only " +
  "the growth was added to the group.";

/** The row that opens the sources. */
export class SourcesRow extends OpeningRow {
  #total = 0;

  constructor(group) {
    super(SOURCES, group);
    this.name = element("span", { id: this.nameId });
    const row = this.row(element("h3", {}, this.name));
    this.element = element("div", { class: "sources", hidden: true }, row, this.body);
  }

  get opened() {
    return counted(this.#total, "source");
  }

  makeList() {
    return new SourceList(this.group.id);
  }

  /** Shows how many sources there are, and the sources again where they are open or are to be. */
  async update(total, open) {
    this.#total = total;
    this.element.hidden = total === 0;
    setText(this.name, this.opened);
    if (this.isOpen) await this.list.refresh();
    else if (total > 0 && open.has(SOURCES)) await this.setOpen(true);
  }
}

class SourceList {
  #group;
  #seen = new Map();
  #turn = 0;

  constructor(group) {
    this.#group = group;
    this.state = element("p", { class: "quietly", role: "status" }, "Loading the sources");
    this.more = element("button", { type: "button", hidden: true, onclick: () => this.#more() }, "Show more sources");
    const head = ["Contribution", "Value"].map((text) => element("th", { scope: "col" }, text));
    const caption = element("caption", { class: "unseen" }, "Sources and what each contributes");
    this.table = element(
      "table",
      { class: "values", hidden: true },
      caption,
      element("thead", {}, element("tr", {}, ...head)),
    );
    const note = element("p", { class: "muted note" }, EXPLAINED);
    this.element = element("div", { class: "family-body" }, note, this.table, this.state, this.more);
  }

  /** Loads what is shown again, or the first sources. */
  async refresh() {
    await this.#load(0, Math.max(this.#seen.size, api.SOURCES));
  }

  async #more() {
    this.more.disabled = true;
    await this.#load(this.#seen.size, api.SOURCES);
    this.more.disabled = false;
  }

  async #load(offset, wanted) {
    const turn = ++this.#turn;
    const sources = [];
    let answer;
    try {
      do {
        answer = await api.sources(this.#group, offset + sources.length, wanted - sources.length);
        sources.push(...answer.sources);
      } while (answer.sources.length > 0 && sources.length < Math.min(wanted, answer.total - offset));
    } catch (error) {
      if (turn === this.#turn) tellFailure(this.state, "sources", error, () => this.refresh());
      return;
    }
    if (turn === this.#turn) this.#show(offset, sources, answer.total);
  }

  #show(offset, sources, total) {
    const seen = new Map([...this.#seen].slice(0, offset));
    for (const source of sources) {
      const key = JSON.stringify(source.labels);
      const row = this.#seen.get(key) || new Source(source);
      row.update(source);
      seen.set(key, row);
    }
    this.#seen = seen;
    arrange(this.table, [...[...this.table.children].slice(0, 2), ...[...seen.values()].map((row) => row.element)]);
    this.table.hidden = seen.size === 0;
    this.state.hidden = seen.size > 0;
    setText(this.state, "There are no sources any more.");
    this.more.hidden = seen.size >= total;
    setText(this.more, `Show more sources (${count(seen.size)} of ${count(total)})`);
  }
}

/** A source: a heading with its labels, and a row for each series that it contributes. */
class Source {
  #shown = "";

  constructor(source) {
    this.pushed = clock("pushed");
    this.pushes = element("span");
    const facts = element("span", { class: "muted note" }, "last push ", this.pushed, ", ", this.pushes);
    const name = source.labels.length > 0 ? labelList(source.labels) : "no labels";
    this.head = element("tr", {}, element("th", { scope: "rowgroup", colspan: 2 }, name, " ", facts));
    this.element = element("tbody", {}, this.head);
  }

  update({ pushed_at: pushedAt, pushes, families }) {
    setClock(this.pushed, pushedAt);
    setText(this.pushes, counted(pushes, "push", "pushes"));
    // A selection in what has not changed stays.
    const now = JSON.stringify(families);
    if (now === this.#shown) return;
    this.#shown = now;
    const rows = families.flatMap((family) => family.series.map((series) => contribution(family, series)));
    const none = element("tr", {}, element("td", { colspan: 2, class: "muted" }, "contributes nothing now"));
    this.element.replaceChildren(this.head, ...(rows.length > 0 ? rows : [none]));
  }
}

function contribution({ name, folded }, series) {
  const labels = series.labels.length > 0 ? [labelList(series.labels)] : [];
  const what = element("span", { class: "type" }, folded ? "latest value" : "total pushed so far");
  const value = "value" in series ? plain(series.value) : `count ${plain(series.count)}, sum ${plain(series.sum)}`;
  const head = element("th", { scope: "row" }, element("code", {}, name), " ", ...labels, " ", what);
  return element("tr", { "data-name": name }, head, element("td", {}, value));
}
