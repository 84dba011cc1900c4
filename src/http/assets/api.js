// Requests to the gateway.

const { base, mayDelete: deletes } = document.documentElement.dataset;

/** Whether the visitor may delete groups. That is only what is shown: the gateway decides. */
export const mayDelete = deletes !== "no";

/** How many groups, series and sources come at once. */
export const GROUPS = 50;
export const SERIES = 100;
export const SOURCES = 100;

/** The most that the gateway gives at once. */
const MOST_GROUPS = 500;
const MOST_SERIES = 1000;
const MOST_SOURCES = 1000;

/** The most groups that it deletes at once. */
export const MOST_DELETED = 10000;

/** What went wrong with a request, in a sentence for the user. */
export class Problem extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }

  get isGone() {
    return this.status === 404;
  }

  get needsLogin() {
    return this.status === 401;
  }
}

/**
 * The address of what is below the gateway's own. A page that was opened as `http://user:password@…` has the login in
 * its address: `fetch` refuses such addresses, and they are not to be shown. The browser sends the login all the same.
 */
export function urlOf(path) {
  const url = new URL(`${base}/${path}`, location.href);
  url.username = "";
  url.password = "";
  return url;
}

let ahead = 0;

/** The time by the gateway's clock, in ms: "12 s ago" must not depend on how the reader's is set. */
export const now = () => Date.now() + ahead;

/** The answer that was asked for before this script was there, if it is what is wanted first. */
function earlyAnswer(path) {
  const { early } = window;
  window.early = null;
  return early?.path === path ? early.answer : null;
}

async function request(method, path, signal, body) {
  let answer;
  try {
    answer = await (earlyAnswer(path) || fetch(urlOf(path), { method, signal, body, cache: "no-store", credentials: "same-origin" }));
    signal?.throwIfAborted();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The gateway does not answer.", 0);
  }
  const date = Date.parse(answer.headers.get("date"));
  // The header has whole seconds; smaller differences are none.
  if (date && Math.abs(date - now()) > 2000) ahead = date - Date.now();
  if (answer.ok) return answer;
  throw new Problem(await reason(answer), answer.status);
}

async function reason(answer) {
  if (answer.status === 401) return "Your login is missing or no longer right. Reload the page to log in.";
  let said = (await answer.text().catch(() => "")).trim();
  if (answer.status === 403) {
    // The gateway's own words name the user and the permission.
    const [, who, rest] = /^Forbidden: (.)([^\n<]{0,300})$/u.exec(said) || [];
    return who ? `${who.toUpperCase()}${rest}.` : "You do not have the permission for this.";
  }
  try {
    const { error } = JSON.parse(said);
    if (typeof error === "string") said = error;
  } catch {
    // A plain text, or what a proxy says.
  }
  if (said.startsWith("<") || said.length > 400) said = "";
  return `The gateway answers ${answer.status}${said ? `: ${said}` : "."}`;
}

async function get(path, words, signal) {
  const query = words ? `?${new URLSearchParams(words)}` : "";
  return dataOf(await request("GET", `api/v1/${path}${query}`, signal));
}

async function dataOf(answer) {
  let data;
  try {
    ({ data } = await answer.json());
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  // Cut off, or the page of something between.
  if (!data) throw new Problem("The gateway's answer is not complete.", 0);
  return data;
}

/** Some of the groups that match, and the counts of all. */
export const groups = ({ q, sort, order }, offset, limit, signal) =>
  get("groups", { q, sort, order, offset, limit: Math.min(limit, MOST_GROUPS) }, signal);

/** One group with its families. */
export const group = (id, signal) => get(`groups/${encodeURIComponent(id)}`, null, signal);

/** Some of the series of a family. */
export const series = (id, family, q, offset, limit, signal) =>
  get(
    `groups/${encodeURIComponent(id)}/series`,
    { family, q, offset, limit: Math.min(limit, MOST_SERIES) },
    signal,
  );

/** Some of the sources of a group; `order` has what they are sorted by. */
export const sources = (id, order, offset, limit, signal) =>
  get(`groups/${encodeURIComponent(id)}/sources`, { ...order, offset, limit: Math.min(limit, MOST_SOURCES) }, signal);

/** What is wrong. */
export const health = (signal) => get("health", null, signal);

/** What the gateway does at the moment, and how it is configured. */
export const status = (signal) => get("status", null, signal);

/** The latest pushes that could not be read. */
export const refusals = (signal) => get("refusals", null, signal);

/** Deletes the group of this path. */
export const deleteGroup = (path) => request("DELETE", `metrics/${path}`);

/** All groups that match, a page after the other. */
export async function allGroups(q) {
  const found = new Map();
  for (let offset = 0; ; offset += MOST_GROUPS) {
    const page = await groups({ q, sort: "name", order: "asc" }, offset, MOST_GROUPS);
    for (const group of page.groups) found.set(group.id, group);
    if (page.groups.length < MOST_GROUPS || found.size > MOST_DELETED) return [...found.values()];
  }
}

/** Deletes the groups with these ids, all at once, and gives what went. In a form, as an address would be too long. */
export const deleteGroups = async (ids) => {
  const form = new URLSearchParams(ids.map((id) => ["id[]", id]));
  return dataOf(await request("PUT", "api/v1/admin/delete", null, form));
};

/** Deletes all groups. */
export const wipe = () => request("PUT", "api/v1/admin/wipe");
