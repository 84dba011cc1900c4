// What the rows of groups, families and sources have in common: the button that opens them, and their times.

import * as api from "./api.js";
import { element, setAttribute, setText } from "./dom.js";
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
