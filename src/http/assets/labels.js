// Labels of groups, series and exemplars.

import { element } from "./dom.js";
import { labelName, labelValue } from "./format.js";

/** A value of more characters than this scrolls in a place of its own. */
const LONG = 500;

/** Labels as text nodes: names quiet, values plain. */
export function labelList(labels, name = "labels") {
  const parts = labels.map(([label, value]) =>
    element(
      "span",
      { class: `label${label === "job" ? " job" : ""}${value.length > LONG ? " long" : ""}` },
      element("span", { class: "name" }, labelName(label)),
      "=",
      element("span", { class: "value" }, labelValue(value)),
    ),
  );
  return element("span", { class: name }, ...parts.flatMap((part) => [part, " "]));
}
