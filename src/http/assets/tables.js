// Sections and tables of the status view. They are brought up to date in place, so that a selection and the focus stay.

import { arrange, element, newId, setText } from "./dom.js";
import { moment } from "./format.js";
import { clock, setClock } from "./row.js";

/** A part of the view with a heading, which an address can lead to by its place. `id` is that of the heading. */
export function section(place, title) {
  const id = newId();
  const heading = element("h2", { id, tabindex: "-1", "data-place": place }, title);
  return { id, element: element("div", {}, heading) };
}

/** What stands for no value: the style sheet shows a dash. */
const NONE = "";

/** A cell with a text, one that is a trouble, or a time and how long ago that is. */
class Cell {
  element = element("td");
  #ago = null;

  show(value) {
    const isTrouble = value?.trouble !== undefined;
    this.element.classList.toggle("reason", isTrouble);
    if (isTrouble) this.#text(value.trouble);
    else if (typeof value === "string") this.#text(value);
    else this.#time(value?.time);
  }

  #text(text) {
    this.#ago = null;
    setText(this.element, text);
  }

  #time(time) {
    if (!time) {
      this.#text(NONE);
      return;
    }
    if (!this.#ago) {
      this.#ago = { at: element("span"), clock: clock("muted") };
      this.element.replaceChildren(this.#ago.at, " ", this.#ago.clock);
    }
    setText(this.#ago.at, moment(time));
    setClock(this.#ago.clock, time);
  }
}

/** A table of names and values: a value is a text, `{ trouble }` with a text, or `{ time }`. */
export class Facts {
  #rows = new Map();
  #body = element("tbody");

  constructor(labelledBy) {
    this.element = element("table", { class: "status", "aria-labelledby": labelledBy }, this.#body);
  }

  /** Shows these, of which each is a name and a value; null is left out. */
  show(facts) {
    const rows = facts.filter((fact) => fact !== null).map(([name, value]) => this.#row(name, value));
    arrange(this.#body, rows);
  }

  #row(name, value) {
    let row = this.#rows.get(name);
    if (!row) {
      const cell = new Cell();
      row = { cell, element: element("tr", {}, element("th", { scope: "row" }, name), cell.element) };
      this.#rows.set(name, row);
    }
    row.cell.show(value);
    return row.element;
  }
}

/** A table with heads of its columns, around a body. */
export function table(labelledBy, columns, body) {
  const heads = columns.map((column) => element("th", { scope: "col" }, column));
  const head = element("thead", {}, element("tr", {}, ...heads));
  return element("table", { class: "status wide-status", "aria-labelledby": labelledBy }, head, body);
}
