// What is shown, and the fragment of the address that says so. A fragment stays in the browser: no label
// gets into a log of a proxy.

const SORTS = ["name", "pushed", "pushes", "size"];

/** An address is anybody's: it names groups as the gateway does, and not so many that opening them is an attack. */
const ID = /^[\w-]{1,32768}$/;
const MOST_OPEN = 100;

/** What stands for the sources of a group among the names of its open families; no family is named so. */
export const SOURCES = "";

/** The page as it opens. `at` is a place in the status view. */
export const start = () => ({ view: "groups", at: "", q: "", sort: "name", order: "asc", open: new Map() });

/** The state that the address names. `open` has, by id of a group, the families that are open in it. */
export function read(hash = location.hash) {
  const state = start();
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const isStatusPath = !hash && document.documentElement.dataset.path === "status";
  if (words.get("view") === "status" || isStatusPath) state.view = "status";
  if (state.view === "status") state.at = words.get("at") || "";
  state.q = words.get("q") || "";
  if (SORTS.includes(words.get("sort"))) state.sort = words.get("sort");
  if (words.get("order") === "desc") state.order = "desc";
  // The families of a group follow it, and whether its sources are open.
  let families = null;
  let left = MOST_OPEN;
  for (const [name, value] of words) {
    if (name === "open") {
      families = ID.test(value) && left-- > 0 ? new Set() : null;
      if (families) state.open.set(value, families);
    } else if (name === "family" && left-- > 0) {
      if (value) families?.add(value);
    } else if (name === "sources" && left-- > 0) {
      families?.add(SOURCES);
    }
  }
  return state;
}

/** The fragment that names this state. */
export function write(state) {
  const words = new URLSearchParams();
  if (state.view !== "groups" || document.documentElement.dataset.path === "status") words.set("view", state.view);
  if (state.view === "status" && state.at) words.set("at", state.at);
  if (state.q) words.set("q", state.q);
  if (state.sort !== "name") words.set("sort", state.sort);
  if (state.order !== "asc") words.set("order", state.order);
  for (const [id, families] of state.open) {
    words.append("open", id);
    for (const family of families) words.append(family === SOURCES ? "sources" : "family", family || "open");
  }
  return `#${words}`;
}

/** Puts the state into the address: as a step that the back button takes back, or in place. */
export function show(state, isStep) {
  const fragment = write(state);
  if (fragment === (location.hash || "#")) return;
  // The path stays, so that this works behind any proxy.
  history[isStep ? "pushState" : "replaceState"](null, "", fragment === "#" ? location.pathname : fragment);
}
