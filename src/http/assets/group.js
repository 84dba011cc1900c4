// One group of the list: its row, and when it is open its families.

import { SOURCES } from "./address.js";
import * as api from "./api.js";
import { familyButtons, groupButtons } from "./copy.js";
import { arrange, element, newId, setAttribute, setText } from "./dom.js";
import { count, counted, moment, selector } from "./format.js";
import { labelList } from "./labels.js";
import { OpeningRow, clock, onRowClick, setClock, tellFailure, toggle } from "./row.js";
import { SeriesList } from "./series.js";
import { SourcesRow } from "./sources.js";

const cell = (name, ...children) => element("div", { class: name, role: "cell" }, ...children);

export class GroupRow {
  isOpen = false;
  /** Names of the open families. */
  openFamilies = new Set();
  #families = new Map();
  #hooks;
  #detail = null;

  /** `hooks`: `changed()` after opening and closing, `remove(row)` to delete the group. */
  constructor(group, hooks) {
    this.#hooks = hooks;
    this.id = group.id;
    this.group = group;
    const [labels, body] = [newId(), newId()];
    this.labels = labelList(group.labels);
    this.labels.id = labels;
    this.button = toggle(labels, body, () => this.toggle());
    this.failed = element("span", { class: "failed", hidden: true }, "Last push failed");
    this.totals = element(
      "span",
      {
        class: "suspected",
        hidden: true,
        title:
          "Two pushes had the same start time, and counters that did not fall: if the process pushes all that it has counted so far, it is added again with every push.",
      },
      "Running totals?",
    );
    this.reason = element("p", { class: "reason", hidden: true });
    this.pushed = clock("at");
    this.pushes = cell("pushes");
    this.series = cell("size");
    this.remove = element(
      "button",
      {
        type: "button",
        class: "quiet remove",
        title: "Delete this group",
        "aria-label": `Delete group ${selector(group.labels)}`,
        onclick: () => hooks.remove(this),
      },
      "Delete",
    );
    const name = element(
      "div",
      { class: "head", role: "rowheader", "aria-labelledby": labels },
      this.button,
      element("h2", {}, this.labels, this.failed, this.totals),
      this.reason,
    );
    const row = element(
      "div",
      { class: "row", role: "row", onclick: onRowClick(() => this.toggle()) },
      name,
      cell("pushed", this.pushed),
      this.pushes,
      this.series,
      ...(api.mayDelete ? [cell("last", this.remove)] : []),
    );
    this.facts = element("p", { class: "muted note" });
    this.refusal = element("p", { class: "refusal", hidden: true });
    this.state = element("p", { class: "quietly", role: "status" }, "Loading the families");
    this.list = element("ul", { class: "families", "aria-label": `Families of ${selector(group.labels)}` });
    this.sources = new SourcesRow(this);
    const content = element(
      "div",
      { class: "group-body", role: "cell", "aria-colspan": api.mayDelete ? 5 : 4 },
      this.facts,
      this.refusal,
      groupButtons(() => this.group),
      this.state,
      this.list,
      this.sources.element,
    );
    this.body = element("div", { id: body, role: "row", hidden: true }, content);
    this.element = element("div", { class: "group", "data-id": group.id }, row, this.body);
    this.update(group);
  }

  /** The words for what is asked before it is deleted. */
  get question() {
    return `Do you really want to delete all metrics of group ${selector(this.group.labels)}?`;
  }

  get countText() {
    return `${counted(this.group.families, "family", "families")}, ${counted(this.group.series, "series", "series")}`;
  }

  /** Shows what is new; true if the open families may have changed. */
  update(group) {
    const changed = ["pushes", "pushed_at", "failed_at", "series", "families"].some(
      (name) => group[name] !== this.group[name],
    );
    this.group = group;
    setClock(this.pushed, group.pushed_at);
    setText(this.pushes, count(group.pushes));
    setAttribute(this.pushes, "data-unit", group.pushes === 1 ? "push" : "pushes");
    setText(this.series, count(group.series));
    this.failed.hidden = !group.failed;
    this.totals.hidden = !group.suspected_running_totals;
    this.#tellRefusal(group);
    // A source that goes leaves no trace in the counts of its group.
    return changed || this.sources.isOpen;
  }

  #tellRefusal({ failed, failed_at: failedAt, last_refusal: refusal, pushed_at: pushedAt }) {
    const at = refusal?.at || failedAt;
    setAttribute(this.failed, "title", at ? `A push was refused at ${moment(at)}` : null);
    const refused = at ? ` · Last refused push ${moment(at)}` : "";
    setText(this.facts, `Last push ${moment(pushedAt)}${refused} · ${this.countText}`);
    // The reasons are in memory, and the gateway may have been restarted.
    const reason = refusal?.reason || "The reason is not known any more: the log has it.";
    this.reason.hidden = !failed;
    setText(this.reason, reason);
    this.refusal.hidden = !at;
    this.refusal.classList.toggle("past", !failed);
    const who = refusal ? `The last refused push was a ${refusal.method} from ${refusal.from}: ` : "";
    setText(this.refusal, `${who}${reason}`);
  }

  toggle() {
    if (this.isOpen) this.close();
    else this.open();
    this.#hooks.changed();
  }

  /** Opens the group, and these families in it. */
  open(families = []) {
    for (const name of families) this.openFamilies.add(name);
    this.isOpen = true;
    this.button.setAttribute("aria-expanded", "true");
    this.body.hidden = false;
    this.element.classList.add("open");
    return this.refresh();
  }

  close() {
    this.isOpen = false;
    this.button.setAttribute("aria-expanded", "false");
    this.body.hidden = true;
    this.element.classList.remove("open");
  }

  /** Loads the families again, and the series of those that are open and have changed. */
  async refresh() {
    let detail;
    try {
      detail = await api.group(this.id);
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.state.hidden = detail.families_list.length > 0;
    this.state.textContent = "The group has no metrics.";
    this.update(detail);
    this.showGone(false);
    this.#detail = detail;
    const families = new Map();
    for (const family of detail.families_list) {
      const row = this.#families.get(family.name) || new FamilyRow(family, this);
      families.set(family.name, row);
    }
    this.#families = families;
    arrange(this.list, [...families.values()].map((row) => row.element));
    await Promise.all([
      ...detail.families_list.map((family) => families.get(family.name).update(family, this.openFamilies)),
      this.sources.update(detail.sources, this.openFamilies),
    ]);
  }

  #fail(error) {
    if (error.isGone) {
      this.showGone(true);
      return;
    }
    // What was loaded before stays.
    if (!this.#detail) tellFailure(this.state, "families", error, () => this.refresh());
  }

  /** Marks a group that somebody has deleted while it is open here. */
  showGone(isGone) {
    this.element.classList.toggle("gone", isGone);
    this.remove.disabled = isGone;
    if (!isGone) return;
    this.state.hidden = false;
    this.state.textContent = "This group is gone: it was deleted.";
    this.list.replaceChildren();
    this.#families.clear();
    this.sources.element.hidden = true;
    this.#detail = null;
  }

  get isGone() {
    return this.element.classList.contains("gone");
  }

  /** Notes what each series that is shown has now, once at each refresh of the page. */
  tick() {
    if (this.isOpen) for (const row of this.#families.values()) row.list?.tick();
  }

  /** A family was opened or closed, or the sources. */
  familyToggled(name, isOpen) {
    if (isOpen) this.openFamilies.add(name);
    else this.openFamilies.delete(name);
    this.#hooks.changed();
  }

  /** Opens and closes families so that exactly these are open. */
  setFamilies(names) {
    this.openFamilies = new Set(names);
    for (const [name, row] of this.#families) row.setOpen(names.has(name));
    if (this.#detail?.sources > 0) this.sources.setOpen(names.has(SOURCES));
  }
}

class FamilyRow extends OpeningRow {
  constructor(family, group) {
    super(family.name, group);
    this.family = family;
    this.help = element("span", { class: "help" });
    this.type = element("span", { class: "type" });
    this.size = element("span", { class: "size" });
    this.pushed = clock("pushed");
    const row = this.row(
      element("h3", {}, element("span", { id: this.nameId }, family.name), " ", this.type),
      element("span", { class: "unseen" }, "Last push:"),
      this.pushed,
      this.size,
      this.help,
    );
    this.element = element("li", { class: "family", "data-name": family.name }, row, this.body);
  }

  get opened() {
    return `${this.family.name}: ${counted(this.family.series, "series", "series")}`;
  }

  above() {
    return [familyButtons(this.group.group, () => this.family)];
  }

  makeList() {
    return new SeriesList(this.group.group, this.family);
  }

  async update(family, open) {
    const changed = family.pushed_at !== this.family.pushed_at || family.series !== this.family.series;
    this.family = family;
    setText(this.help, family.help);
    this.help.hidden = !family.help;
    setText(this.type, family.unit ? `${family.type}, ${family.unit}` : family.type);
    setText(this.size, counted(family.series, "series", "series"));
    setClock(this.pushed, family.pushed_at);
    if (open.has(family.name) && !this.isOpen) await this.setOpen(true);
    else if (this.isOpen && changed) await this.list.refresh();
  }
}
