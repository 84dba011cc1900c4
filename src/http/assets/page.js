// What ties the page together: the address, the filter, the order, and the refresh while it is looked at.

import * as address from "./address.js";
import { byId, setAttribute, setText } from "./dom.js";
import { Groups } from "./groups.js";
import * as health from "./health.js";
import * as keyboard from "./keyboard.js";
import { recall, remember } from "./storage.js";
import "./theme-switch.js";
import * as title from "./title.js";

const INTERVAL = 5000;
/** While the gateway does not answer it is asked less often. */
const SLOWEST = 30000;
const TYPING = 150;
const LIVE = "tallygate-live";

const root = document.documentElement;
const [filter, live] = [byId("filter"), byId("live")];

let state = address.read();
/** How far each view is scrolled, to come back to. */
const places = { groups: 0, status: 0 };
let isTyping = false;
let wait = INTERVAL;
let timer = 0;
/** The status view, whose script is loaded when it is looked at first. */
let status = null;
let statusTries = 0;

const groups = new Groups(() => {
  state.open = groups.open;
  address.show(state, true);
  showLinks();
});

function showView() {
  root.dataset.view = state.view;
  title.tell({ isStatus: state.view === "status" });
  for (const name of ["groups", "status"]) {
    const link = byId(`to-${name}`);
    if (name === state.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** The way back from the status leads to the same filter and groups. */
function showLinks() {
  byId("to-groups").setAttribute("href", address.write({ ...state, view: "groups" }));
  byId("to-status").setAttribute("href", address.write({ ...state, view: "status", at: "" }));
}

function showSort() {
  for (const button of byId("sort").querySelectorAll("button")) {
    const isChosen = button.dataset.sort === state.sort;
    const isUp = state.order === "asc";
    setAttribute(button.parentNode, "aria-sort", isChosen ? (isUp ? "ascending" : "descending") : null);
    button.dataset.order = isChosen ? state.order : "";
    const name = button.firstChild.textContent;
    button.title = isChosen ? `${name}: ${isUp ? "ascending" : "descending"}` : `Sort by ${name.toLowerCase()}`;
  }
}

/** Shows the state that the address names, as after the back button. */
async function follow() {
  const before = state;
  state = address.read();
  if (filter.value !== state.q) filter.value = state.q;
  places[before.view] = scrollY;
  showAll();
  if (before.view !== state.view) scrollTo({ top: places[state.view], behavior: "instant" });
  if (state.view === "status") showStatus();
  const isSameList = ["q", "sort", "order"].every((name) => state[name] === before[name]);
  if (!isSameList || !groups.setOpen(state)) await groups.show(state, true);
}

/** Brings the status up to date; false when that failed. */
async function refreshStatus() {
  try {
    // Some browsers never ask again for a script that did not come.
    status ||= await import(statusTries++ === 0 ? "./status.js" : `./status.js?${statusTries}`);
  } catch {
    const why = "The gateway does not answer, or has another version by now: then reload the page.";
    setText(byId("status-state"), `The status could not be loaded. ${why}`);
    return false;
  }
  return status.refresh();
}

async function showStatus() {
  await refreshStatus();
  if (state.view === "status" && state.at) status?.reveal(state.at);
}

function showAll() {
  showView();
  showLinks();
  showSort();
}

/** Shows another filter or order; nothing stays open but what is still among the first groups. */
async function change() {
  showAll();
  const isShown = await groups.show(state, false);
  if (!isShown) return;
  state.open = groups.open;
  address.show(state, false);
  showLinks();
}

let typing = 0;

function filtered() {
  clearTimeout(typing);
  typing = setTimeout(() => {
    if (filter.value === state.q) return;
    // One step back takes back all that was typed in one go.
    const isStep = !isTyping;
    isTyping = true;
    state.q = filter.value;
    state.open = new Map();
    address.show(state, isStep);
    change();
  }, TYPING);
}

/** Shows the groups that match this word and nothing else. */
function find(word) {
  filter.value = word;
  filtered();
  filter.focus();
}

function clear() {
  if (!filter.value) {
    filter.blur();
    return;
  }
  filter.value = "";
  filtered();
}

function sort(event) {
  const wanted = event.target.closest("button")?.dataset.sort;
  if (!wanted) return;
  // The newest and the largest are what one looks for.
  const first = wanted === "name" ? "asc" : "desc";
  state.order = state.sort !== wanted ? first : state.order === "asc" ? "desc" : "asc";
  state.sort = wanted;
  state.open = new Map();
  address.show(state, true);
  change();
}

const isLive = () => live.getAttribute("aria-pressed") === "true";

function setLive(isOn) {
  live.setAttribute("aria-pressed", String(isOn));
  live.title = isOn ? "Refreshed every 5 seconds" : "Not refreshed by itself";
}

async function refresh() {
  clearTimeout(timer);
  const isList = root.dataset.view === "groups";
  const isDone = await (isList ? groups.refresh() : refreshStatus());
  groups.tellTimes();
  wait = isDone ? INTERVAL : Math.min(2 * wait, SLOWEST);
  live.classList.toggle("failing", !isDone);
  // Each refused login may open a dialog of the browser.
  if (isList && isDone) await health.refresh(find);
  schedule();
}

/**
 * Refreshes unasked. Not once a login was refused, until something that the reader does is let through: browsers answer
 * each such refusal with their login dialog. The first one is of use, as who fills it in stays in place; another every
 * few seconds is not.
 */
function refreshUnasked() {
  if (groups.needsLogin || status?.needsLogin()) schedule();
  else refresh();
}

function schedule() {
  clearTimeout(timer);
  if (isLive() && !document.hidden) timer = setTimeout(refreshUnasked, wait);
}

filter.addEventListener("input", filtered);
filter.addEventListener("blur", () => {
  isTyping = false;
});
byId("sort").addEventListener("click", sort);
live.addEventListener("click", () => {
  setLive(!isLive());
  remember(LIVE, isLive() ? "on" : "off");
  if (isLive()) refresh();
  else clearTimeout(timer);
});
byId("show-keys").addEventListener("click", () => byId("keys").showModal());
byId("keys-close").addEventListener("click", () => byId("keys").close());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (isLive()) refreshUnasked();
});
addEventListener("online", refreshUnasked);
addEventListener("popstate", follow);
keyboard.listen({ remove: (node) => groups.askDelete(groups.rowOf(node)), refresh, clear });

setLive(recall(LIVE) !== "off");

async function open() {
  filter.value = state.q;
  showAll();
  if (state.view === "status") showStatus();
  const isShown = await groups.show(state, true);
  if (isShown) health.refresh(find);
  if (state.open.size > 0) groups.reveal();
  root.dataset.ready = "true";
  schedule();
}

open();
