// The title of the tab: which of several open pages this is, what is shown, and how many of it.

import { counted, visible } from "./format.js";

/** Longer filters are cut: a tab has little room. */
const LONGEST = 60;

const known = { troubles: 0, filter: "", matching: 0, isStatus: false };

/** Tells the number of `troubles`, the `filter` and how many groups are `matching`, or whether the status is shown. */
export function tell(now) {
  Object.assign(known, now);
  const { troubles, matching, isStatus } = known;
  const filter = isStatus ? "" : known.filter.trim();
  const counts = [troubles > 0 ? counted(troubles, "problem") : "", filter ? counted(matching, "group") : ""];
  const told = counts.filter(Boolean).join(", ");
  const words = [...visible(filter)];
  const what = words.length > LONGEST ? `${words.slice(0, LONGEST).join("")}…` : words.join("");
  const names = [isStatus ? "Status" : what, location.host, "Tallygate"];
  document.title = `${told ? `(${told}) ` : ""}${names.filter(Boolean).join(" – ")}`;
}
