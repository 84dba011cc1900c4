// The list of the latest pushes that could not be read, in the status view.

import * as api from "./api.js";
import { arrange, element, setText } from "./dom.js";
import { counted } from "./format.js";
import { clock, setClock } from "./row.js";
import { section } from "./tables.js";

const NOTE = "The latest 200, with their paths. Groups tell why their own last push was refused.";

const { id, element: part } = section("refusals", "Pushes that could not be read");
const list = element("ul", { id: "refusals", "aria-labelledby": id });
const state = element("p", { class: "quietly", role: "status" }, "Loading them");
part.append(element("p", { class: "muted note" }, NOTE), state, list);
let rows = new Map();

class Refusal {
  constructor({ method, path, reason }) {
    this.at = clock("at");
    this.facts = element("span");
    const note = element("span", { class: "muted note" }, this.at, this.facts);
    const head = element("p", {}, element("code", {}, `${method} ${path}`), " ", note);
    this.element = element("li", {}, head, element("p", { class: "reason" }, reason));
  }

  update({ at, from, times }) {
    setClock(this.at, at);
    setText(this.facts, `, from ${from}${times > 1 ? `, ${counted(times, "time")}` : ""}`);
  }
}

/** The part of the view with the list. */
export const view = { element: part };

/** Loads the list again; false when that failed. */
export async function refresh() {
  let refusals;
  try {
    ({ refusals } = await api.refusals());
  } catch (error) {
    if (!(error instanceof api.Problem)) throw error;
    // What was loaded before stays.
    if (rows.size === 0) setText(state, `They could not be loaded. ${error.message}`);
    return false;
  }
  const next = new Map();
  for (const refusal of refusals) {
    const { method, path, from, reason } = refusal;
    // A client has another port each time.
    const key = JSON.stringify([method, path, from.replace(/:\d+$/, ""), reason]);
    const row = rows.get(key) || new Refusal(refusal);
    row.update(refusal);
    next.set(key, row);
  }
  rows = next;
  arrange(list, [...rows.values()].map((row) => row.element));
  setText(state, rows.size === 0 ? "None since the gateway started." : "");
  state.hidden = rows.size > 0;
  return true;
}
