// What the rows of groups, families and sources have in common: how they open, their times, and what failed.

import * as api from "./api.js";
import { element, newId, say, setAttribute, setText } from "./dom.js";
import { ago, moment } from "./format.js";

/** A time that stays "12 s ago". */
export function clock(name) {
  return element("time", { class: name });
}

export function setClock(node, time) {
  setAttribute(node, "datetime", time);
  setAttribute(node, "title", time ? moment(time) : null);
  tell(node);
}

function tell(node) {
  setText(node, ago(node.getAttribute("datetime"), api.now()));
}

/** Brings every "12 s ago" up to date. */
export function tellTimes(within) {
  for (const node of within.querySelectorAll("time")) tell(node);
}

/** A button that opens and closes something. */
export function toggle(labelledBy, controls, act) {
  const arrow = element("span", { class: "arrow", "aria-hidden": "true" });
  return element(
    "button",
    {
      type: "button",
      class: "toggle",
      "aria-expanded": "false",
      "aria-labelledby": labelledBy,
      "aria-controls": controls,
      onclick: act,
    },
    arrow,
  );
}

/** Runs `act` for a click anywhere in a row, but not for one that ends a selection or is for a control. */
export function onRowClick(act) {
  return (event) => {
    const selection = document.getSelection();
    const selects = selection && !selection.isCollapsed && event.currentTarget.contains(selection.anchorNode);
    if (!selects && !event.target.closest("button, a, input, summary")) act();
  };
}

/** Tells in `state` why something was not loaded; `again` tries it once more. */
export function tellFailure(state, what, error, again) {
  state.hidden = false;
  if (error.isGone) {
    state.replaceChildren(`These ${what} are gone.`);
    return;
  }
  const retry = element("button", { type: "button", onclick: again }, "Try again");
  state.replaceChildren(`The ${what} could not be loaded. ${error.message} `, retry);
}

/**
 * A row of a group that opens a list below it, which is loaded then. A subclass says with `makeList()` what the list is
 * (its `element`, and `refresh()`), with `above()` what stands over it, and with `opened` what is said then.
 */
export class OpeningRow {
  list = null;

  /** `group` is told when the row, whose name in it is `key`, is opened or closed. */
  constructor(key, group) {
    this.key = key;
    this.group = group;
    [this.nameId, this.bodyId] = [newId(), newId()];
    this.button = toggle(this.nameId, this.bodyId, () => this.toggle());
    this.body = element("div", { id: this.bodyId, hidden: true });
  }

  /** The row: the button, and these parts. */
  row(...parts) {
    return element("div", { class: "row", onclick: onRowClick(() => this.toggle()) }, this.button, ...parts);
  }

  get isOpen() {
    return this.list !== null;
  }

  above() {
    return [];
  }

  toggle() {
    this.setOpen(!this.isOpen);
    this.group.familyToggled(this.key, this.isOpen);
    say(this.isOpen ? this.opened : "");
  }

  async setOpen(isOpen) {
    if (isOpen === this.isOpen) return;
    this.button.setAttribute("aria-expanded", String(isOpen));
    this.body.hidden = !isOpen;
    this.element.classList.toggle("open", isOpen);
    this.list = isOpen ? this.makeList() : null;
    this.body.replaceChildren(...(isOpen ? [...this.above(), this.list.element] : []));
    if (isOpen) await this.list.refresh();
  }
}
