// Every setting in force, and where its value comes from.

import { arrange, element, setText } from "./dom.js";
import { count, shown } from "./format.js";
import { section, table } from "./tables.js";

/** What a visitor reads who may not see them. */
const HIDDEN = "Who may not administer the gateway does not see its settings: that takes the permission \"admin\".";

/** Where a value comes from, as one would look it up. */
function originText({ origin, place }, file) {
  if (origin === "flag") return `flag --${place}`;
  if (origin === "environment") return `environment variable ${place}`;
  if (origin === "file") return `${file}, line ${place}`;
  return origin === "memory" ? "default for the memory that the system allows" : "default";
}

class Setting {
  constructor({ key }) {
    [this.value, this.origin] = [element("td"), element("td")];
    const name = element("th", { scope: "row" }, key);
    this.element = element("tr", { tabindex: "-1", "data-place": `setting ${key}` }, name, this.value, this.origin);
  }

  /** Of a limit the digits are grouped. Other settings may be texts of digits, such as a job. */
  update(setting, file, isLimit) {
    setText(this.value, isLimit ? shown(setting.value) : setting.value);
    setText(this.origin, originText(setting, file));
    this.isSet = !["default", "memory"].includes(setting.origin);
    this.element.classList.toggle("set", this.isSet);
    this.text = [setting.key, setting.value, this.value.textContent, this.origin.textContent].join(" ").toLowerCase();
  }
}

export class Settings {
  #rows = new Map();
  #body = element("tbody");
  #count = element("p", { id: "settings-count", class: "quietly", role: "status" });
  #filter = element("input", { id: "settings-filter", type: "search", autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  #onlySet = element("input", { id: "settings-set", type: "checkbox" });

  constructor() {
    const { id, element: part } = section("settings", "Settings");
    const label = element("label", { class: "unseen", for: "settings-filter" }, "Filter the settings");
    this.#filter.setAttribute("placeholder", "Filter by name, value or origin");
    const only = element("label", { class: "note" }, this.#onlySet, " Only those that are set");
    this.controls = element("div", { class: "narrow choices" }, label, this.#filter, only);
    this.table = table(id, ["Setting", "Value", "From"], this.#body);
    this.table.classList.add("stacked");
    this.hidden = element("p", { class: "muted note" }, HIDDEN);
    this.element = part;
    part.append(this.hidden, this.controls, this.table, this.#count);
    for (const control of [this.#filter, this.#onlySet]) control.addEventListener("input", () => this.#narrow());
  }

  show({ settings, limits, config_file: file }) {
    const bounded = new Set(limits.map(({ limit }) => limit));
    const isShown = settings !== null;
    this.hidden.hidden = isShown;
    this.controls.hidden = this.table.hidden = this.#count.hidden = !isShown;
    const rows = (settings || []).map((setting) => {
      const row = this.#rows.get(setting.key) || new Setting(setting);
      this.#rows.set(setting.key, row);
      row.update(setting, file, bounded.has(setting.key));
      return row.element;
    });
    arrange(this.#body, rows);
    if (isShown) this.#narrow();
    else this.#rows.clear();
  }

  /** Takes away what hides rows. */
  showAll() {
    this.#filter.value = "";
    this.#onlySet.checked = false;
    this.#narrow();
  }

  #narrow() {
    const words = this.#filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let seen = 0;
    for (const row of this.#rows.values()) {
      const matches = words.every((word) => row.text.includes(word)) && (row.isSet || !this.#onlySet.checked);
      row.element.hidden = !matches;
      seen += matches ? 1 : 0;
    }
    const isAll = seen === this.#rows.size;
    setText(this.#count, isAll ? "" : `${count(seen)} of ${count(this.#rows.size)} settings`);
    this.table.hidden = seen === 0;
  }
}
