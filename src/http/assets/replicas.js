// The gateways that share the database.

import { arrange, element, setText } from "./dom.js";
import { counted, moment } from "./format.js";
import { section, table } from "./tables.js";

/** Whoever was not there for this many seconds is missed. */
const MISSED_AFTER = 10;

class Replica {
  #cells = Array.from({ length: 4 }, () => element("td"));
  #name = element("th", { scope: "row" });
  element = element("tr", {}, this.#name, ...this.#cells);

  show({ name, version, start_time: start, seen_seconds_ago: seconds, behind_commits: behind, is_this_one: isThisOne }) {
    setText(this.#name, isThisOne ? `${name} (this one)` : name);
    const isMissed = !isThisOne && seconds > MISSED_AFTER;
    const there = isThisOne ? "now" : `${counted(Math.round(seconds), "second")} ago`;
    const texts = [version, moment(start), there, isThisOne || behind === 0 ? "nothing" : counted(behind, "commit")];
    this.#cells.forEach((cell, at) => setText(cell, texts[at]));
    this.element.classList.toggle("troubled", isMissed);
  }
}

export class Replicas {
  #rows = new Map();
  #body = element("tbody");

  constructor() {
    const { id, element: part } = section("replicas", "Replicas");
    const columns = ["Name", "Version", "Started", "Was there last", "Lacked then"];
    part.append(table(id, columns, this.#body));
    this.element = part;
  }

  show({ replicas }) {
    this.element.hidden = !replicas;
    const listed = new Map((replicas || []).map((replica) => [`${replica.name} ${replica.start_time}`, replica]));
    for (const key of this.#rows.keys()) if (!listed.has(key)) this.#rows.delete(key);
    for (const [key, replica] of listed) {
      if (!this.#rows.has(key)) this.#rows.set(key, new Replica());
      this.#rows.get(key).show(replica);
    }
    arrange(this.#body, [...listed.keys()].map((key) => this.#rows.get(key).element));
  }
}
