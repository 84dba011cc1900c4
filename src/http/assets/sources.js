// The sources of an open group, and what each contributes: a table, loaded when it is opened.

import { SOURCES } from "./address.js";
import * as api from "./api.js";
import { arrange, element, newId, setText } from "./dom.js";
import { count, counted, shown, visible } from "./format.js";
import { labelList } from "./labels.js";
import { OpeningRow, clock, setClock, tellFailure } from "./row.js";

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

/** By what sources can be sorted, beside the values of a family, and which order comes first. */
const SORTS = [
  ["Labels", { sort: "name", order: "asc" }],
  ["Last push", { sort: "pushed", order: "desc" }],
  ["Pushes", { sort: "pushes", order: "desc" }],
];

/** A choice of more families than this is none. */
const MOST_FAMILIES = 100;

/** The choice of what the sources are sorted by. */
class Order {
  /** By the text of each option. */
  #choices = new Map();

  constructor(changed) {
    const id = newId();
    this.choice = element("select", { id, onchange: () => this.#choose(changed) });
    this.turn = element("button", { type: "button", class: "quiet", onclick: () => this.#turn(changed) });
    this.element = element("p", { class: "order" }, element("label", { for: id }, "Sort by"), this.choice, this.turn);
    for (const [name, query] of SORTS) this.#add(name, query);
    this.query = { ...SORTS[0][1] };
    this.#tell();
  }

  #add(name, query) {
    if (this.#choices.has(name)) return;
    this.#choices.set(name, query);
    this.choice.append(element("option", { value: name }, name));
  }

  /** Offers the families that these sources contribute to. */
  offer(sources) {
    for (const { families } of sources) {
      for (const { name } of families) {
        if (this.#choices.size >= SORTS.length + MOST_FAMILIES) return;
        this.#add(`Value of ${visible(name)}`, { sort: "value", family: name, order: "desc" });
      }
    }
  }

  #choose(changed) {
    this.query = { ...this.#choices.get(this.choice.value) };
    this.#tell();
    changed();
  }

  #turn(changed) {
    this.query.order = this.query.order === "asc" ? "desc" : "asc";
    this.#tell();
    changed();
  }

  #tell() {
    setText(this.turn, this.query.order === "asc" ? "↑ ascending" : "↓ descending");
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
    this.order = new Order(() => this.#load(0, api.SOURCES));
    this.element = element("div", { class: "family-body" }, note, this.order.element, this.table, this.state, this.more);
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
        const { query } = this.order;
        answer = await api.sources(this.#group, query, offset + sources.length, wanted - sources.length);
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
    this.order.offer(sources);
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
  const value = "value" in series ? shown(series.value) : `count ${shown(series.count)}, sum ${shown(series.sum)}`;
  const head = element("th", { scope: "row" }, element("code", {}, name), " ", ...labels, " ", what);
  return element("tr", { "data-name": name }, head, element("td", {}, value));
}
