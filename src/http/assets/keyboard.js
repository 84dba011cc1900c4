// The shortcuts. Everything can be reached with Tab and Enter too.

import { byId } from "./dom.js";
import { recall, remember } from "./storage.js";

/** Whoever speaks to the computer, or hits keys by accident, can switch the single characters off. */
const CHARACTERS = "tallygate-keys";

/** What works in the status view too. */
const ANYWHERE = ["r", "?"];

const list = byId("groups");
const filter = byId("filter");

/**
 * The buttons of all rows that are not folded away, from top to bottom. Nothing here may ask for a place on the screen:
 * rows that are far from it have none, and to give each one takes a minute with thousands of them.
 */
const stops = () => [...list.querySelectorAll(".toggle")].filter((button) => !button.closest("[hidden]"));

function stopOf(node) {
  const row = node?.closest?.(".family, .sources, .group");
  return row && list.contains(row) ? row.querySelector(".toggle") : null;
}

function go(to) {
  if (!to) return false;
  to.focus({ preventScroll: true });
  to.closest(".row").scrollIntoView({ block: "nearest" });
  return true;
}

function step(by) {
  const all = stops();
  const at = all.indexOf(stopOf(document.activeElement));
  return go(all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + by))]);
}

const isOpen = (stop) => stop.getAttribute("aria-expanded") === "true";

function closeOrLeave(stop) {
  if (isOpen(stop)) stop.click();
  else go(stop.closest(".family, .sources")?.closest(".group").querySelector(".toggle"));
}

/** `actions`: `remove(node)` asks to delete the group of a row, `refresh()`, `clear()` the filter. */
export function listen(actions) {
  const onStop = {
    ArrowRight: (stop) => (isOpen(stop) ? step(1) : stop.click()),
    ArrowLeft: closeOrLeave,
    Escape: closeOrLeave,
    Delete: (stop) => actions.remove(stop),
    Home: () => go(stops()[0]),
    End: () => go(stops().pop()),
  };
  const anywhere = {
    "/": () => filter.select(),
    j: () => step(1),
    k: () => step(-1),
    r: () => actions.refresh(),
    "?": () => byId("keys").showModal(),
  };

  const on = byId("keys-on");
  on.checked = recall(CHARACTERS) !== "off";
  on.addEventListener("change", () => remember(CHARACTERS, on.checked ? null : "off"));

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target === filter) {
      if (event.key === "Escape") actions.clear();
      else if (event.key !== "ArrowDown" && event.key !== "Enter") return;
      else go(stops()[0]);
      event.preventDefault();
      return;
    }
    if (event.target.matches("input, textarea, select")) {
      if (event.key === "Escape") go(stopOf(event.target));
      return;
    }
    const stop = stopOf(event.target);
    const arrow = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const act = (on.checked && anywhere[event.key]) || (stop && (arrow ? () => step(arrow) : onStop[event.key]));
    const isList = document.documentElement.dataset.view === "groups";
    if (!act || !(isList || ANYWHERE.includes(event.key))) return;
    event.preventDefault();
    act(stop);
  });
}
