// The strip above the groups that tells what is wrong. It is there only then.

import * as address from "./address.js";
import * as api from "./api.js";
import { byId, element, setText } from "./dom.js";
import { count, counted, moment } from "./format.js";
import * as title from "./title.js";

const [strip, stale] = [byId("health"), byId("stale")];
let shown = "";

/** Where a trouble leads: to the groups that match a word, or to a place in the status view. */
const filter = (word) => ({ word });
const status = (at) => ({ at });

function troubles(health) {
  const all = [];
  const add = (holds, text, leads) => holds && all.push({ text, leads });
  const { not_kept: notKept, limits, failed_groups: failed, suspicious_groups: suspicious, unread_pushes: unread } = health;
  add(notKept, notKept && `Since ${moment(notKept.since)} ${notKept.reason}`, status("persistence"));
  for (const limit of limits) add(true, limitText(limit), status(limit.limit));
  add(failed, failed === 1 ? "The last push of 1 group was refused" : `The last pushes of ${counted(failed, "group")} were refused`, filter("is:failed"));
  add(suspicious, `${counted(suspicious, "group")} may get running totals that are added again and again`, filter("is:suspicious"));
  add(unread, `${counted(unread, "push", "pushes")} of the last hour could not be read`, status("refusals"));
  add(!health.rules_current, "The rules in the configuration file are wrong: earlier ones are in force", status("rules"));
  add(!health.web_config_current, "The web configuration can't be used: an earlier one is in force", status("web"));
  return all;
}

function limitText({ limit, hits, used, most }) {
  const often = hits === 1 ? "once" : `${count(hits)} times`;
  // Limits on what happens at a time are mostly free again.
  const full = used === null ? "" : `: ${count(used)} of ${count(most)} in use`;
  return `The limit ${limit} was hit ${often}${full}`;
}

/** Loads it again. `find(word)` shows the groups that match a word. */
export async function refresh(find) {
  let health;
  try {
    health = await api.health();
  } catch (error) {
    // The list says what is wrong with the connection or the login.
    if (!(error instanceof api.Problem)) throw error;
    return;
  }
  tellStale(health.stale_groups, find);
  const all = troubles(health);
  strip.dataset.loaded = "true";
  title.tell({ troubles: all.length });
  const now = JSON.stringify(all);
  if (now === shown) return;
  shown = now;
  strip.hidden = all.length === 0;
  strip.lastElementChild.replaceChildren(...all.map((trouble) => item(trouble, find)));
}

/** The address of a place in the status view, with what is shown now, for the way back. */
const addressOf = (at) => address.write({ ...address.read(), view: "status", at });

function item({ text, leads }, find) {
  if (leads.at) {
    const link = element("a", { href: addressOf(leads.at) }, text);
    link.addEventListener("click", () => link.setAttribute("href", addressOf(leads.at)));
    return element("li", {}, link);
  }
  return element("li", {}, element("button", { type: "button", class: "link", onclick: () => find(leads.word) }, text));
}

function tellStale(groups, find) {
  stale.hidden = groups === 0;
  setText(stale, `${counted(groups, "group")} without a push for a day`);
  stale.onclick = () => find("is:stale");
}
