// The status view: what the gateway does at the moment, brought up to date while it is looked at.

import * as api from "./api.js";
import { byId, element, setText } from "./dom.js";
import { count, moment } from "./format.js";
import { Limits } from "./limits.js";
import * as refusals from "./refusals.js";
import { Replicas } from "./replicas.js";
import { tellTimes } from "./row.js";
import { Rules, WebConfig } from "./rules.js";
import { Settings } from "./settings.js";
import { Facts, section } from "./tables.js";

const [body, state, problem, news] = [byId("status-body"), byId("status-state"), byId("status-problem"), byId("status-news")];
const root = document.documentElement;

/** A section that is a table of facts. */
function facts(place, title, of) {
  const { id, element: part } = section(place, title);
  const table = new Facts(id);
  part.append(table.element);
  return { element: part, show: (status) => table.show(of(status)) };
}

const listed = (words) => (words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words.at(-1)}` : words[0] || "nothing");

function whoText({ kind, name, has_logins: hasLogins }) {
  if (kind === "anonymous") return hasLogins ? "none" : "none: nobody has one, and everybody may do all this";
  return `${kind} ${name}`;
}

const KEPT = { push: "before a push is answered", interval: "at intervals, after pushes are answered" };

function persistenceFacts({ persistence }) {
  const { sync, file, database, failing } = persistence;
  if (sync === null) return [["Kept on disk", "no: everything is lost when the gateway stops"]];
  return [
    ["State", failing ? { trouble: `Since ${moment(failing.since)} ${failing.reason}` } : "pushes are kept"],
    ["Kept on disk", KEPT[sync]],
    file === null ? null : ["File", file],
    database === null ? null : ["Database", database],
    ["Last commit", persistence.kept_at === null ? "none since the start" : { time: persistence.kept_at }],
    ["Commits", `${count(persistence.commits)}, and ${count(persistence.failed_commits)} that failed`],
    ["Waiting for a commit", count(persistence.waiting)],
  ];
}

const settings = new Settings();
const parts = [
  facts("gateway", "Gateway", ({ start_time: start, build_information: build }) => [
    ["Started", { time: start }],
    ["Version", build.version],
  ]),
  facts("access", "You", ({ access }) => [
    ["Login", whoText(access)],
    ["May", listed(access.may)],
  ]),
  facts("persistence", "Persistence", persistenceFacts),
  new Replicas(),
  new Limits(),
  new Rules(),
  new WebConfig(),
  refusals.view,
  settings,
  facts("build", "Build", ({ build_information: build }) =>
    ["branch", "buildDate", "buildUser", "goVersion", "revision", "version"].map((name) => [
      name === "goVersion" ? "rustVersion" : name,
      build[name],
    ]),
  ),
];
let isShown = false;
let lacksLogin = false;

/** Whether the last answer was that a login is needed. */
export const needsLogin = () => lacksLogin;

/** Loads everything again; false when that failed. */
export async function refresh() {
  try {
    const status = await api.status();
    for (const part of parts) part.show?.(status);
    tellNews(status);
    if (!isShown) body.replaceChildren(...parts.map((part) => part.element));
    isShown = true;
    state.hidden = true;
    fail(null);
    root.dataset.status = "loaded";
    await refusals.refresh();
    return true;
  } catch (error) {
    if (!(error instanceof api.Problem)) throw error;
    fail(error);
    return false;
  } finally {
    tellTimes(body);
  }
}

function fail(error) {
  lacksLogin = Boolean(error?.needsLogin);
  problem.hidden = error === null;
  if (error === null) return;
  const text = `${error.message} ${isShown ? "What you see may be out of date. " : ""}`;
  state.hidden = isShown;
  setText(state, "The status could not be loaded.");
  const again = error.needsLogin ? ["Reload", () => location.reload()] : ["Try again", refresh];
  // Read out once, not with each attempt.
  if (problem.firstChild?.textContent === text) return;
  problem.replaceChildren(text, element("button", { type: "button", onclick: again[1] }, again[0]));
}

/** When each replica was started that has answered, by its name: behind a balancer it may be any. */
const starts = new Map();

/** Whether the gateway that answers was restarted since it has answered before, or has sent the page. */
function isRestarted({ start_time: start, replica }) {
  if (replica === null) return start !== root.dataset.started;
  const before = starts.get(replica);
  if (before === undefined) starts.set(replica, start);
  return before !== undefined && before !== start;
}

/** Tells what has changed since the page was loaded, which does not know of it. */
function tellNews(status) {
  const { start_time: start, access } = status;
  const may = access.may.join(" ");
  const told = [
    isRestarted(status) ? `The gateway was restarted at ${moment(start)}. ` : "",
    may === root.dataset.may ? "" : `What you may do has changed: it is now ${listed(access.may)}. `,
  ].join("");
  news.hidden = told === "";
  if (news.firstChild?.textContent === told) return;
  const reload = element("button", { type: "button", onclick: () => location.reload() }, "Reload the page");
  news.replaceChildren(told, reload);
}

/** Leads the reader to a place of the view. */
export function reveal(place) {
  const placed = [...body.querySelectorAll("[data-place]")];
  const target = placed.find((node) => node.dataset.place === place);
  if (!target) return;
  if (target.hidden || target.closest("table")?.hidden) settings.showAll();
  for (const node of placed) node.classList.toggle("sought", node === target);
  target.focus({ preventScroll: true });
  target.scrollIntoView({ block: target.matches("tr") ? "center" : "start", behavior: "instant" });
}
