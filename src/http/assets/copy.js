// What can be copied of a group, a family or a series: selectors for PromQL, commands for a shell, and a link.

import * as address from "./address.js";
import * as api from "./api.js";
import { element, say, setAttribute, setText } from "./dom.js";
import { labelName, labelValue, selector } from "./format.js";

/** How long a button says that it has copied. */
const SAID = 1500;

/** Values that a path holds as they are. */
const PLAIN = /^[\w:-][\w.:-]*$/;

const isMetricName = (name) => /^[A-Za-z_:][A-Za-z0-9_:]*$/.test(name);

/** A selector of series with this name and these labels. */
function seriesSelector(name, labels) {
  const pairs = labels.map(([label, value]) => `${labelName(label)}=${labelValue(value)}`);
  if (!isMetricName(name)) return `{${[labelValue(name), ...pairs].join(", ")}}`;
  return pairs.length > 0 ? `${name}{${pairs.join(", ")}}` : name;
}

/** What one asks Prometheus of a family: the rate of what only grows, else the value. */
export function query(group, family, labels, isNative = false) {
  const all = [...group.labels, ...labels];
  if (family.type === "counter") return `rate(${seriesSelector(family.name, all)}[5m])`;
  if (family.type !== "histogram") return seriesSelector(family.name, all);
  return `rate(${seriesSelector(isNative ? family.name : `${family.name}_bucket`, all)}[5m])`;
}

const CONTROLS = /[\u0000-\u001f\u007f-\u009f]/g;

/** A text for a shell. Control characters are spelled out: a terminal may obey those that are pasted. */
function quoted(text) {
  if (/^[\w./:@%=+-]+$/.test(text)) return text;
  const code = (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`;
  if (text.search(CONTROLS) >= 0) return `$'${text.replace(/[\\']/g, "\\$&").replace(CONTROLS, code)}'`;
  return `'${text.replace(/'/g, "'\\''")}'`;
}

/** The address of a group: with its values as they are where that can be read. */
function urlOf(group) {
  const parts = group.path.split("/");
  const labels = group.labels.map(([, value], at) => {
    const [name, encoded] = parts.slice(2 * at);
    return PLAIN.test(value) ? `${name.replace(/@base64$/, "")}/${value}` : `${name}/${encoded}`;
  });
  return String(api.urlOf(`metrics/${labels.join("/")}`));
}

const SAMPLE = "my_metric 1";

function pushCommand(group) {
  return `echo ${quoted(SAMPLE)} | curl --data-binary @- ${quoted(urlOf(group))}`;
}

function tallygateCommand(group) {
  const [[, job], ...labels] = group.labels;
  const more = labels.map(([name, value]) => ` --label ${quoted(`${name}=${value}`)}`).join("");
  return `tallygate push --url ${quoted(String(api.urlOf("")))} --job ${quoted(job)}${more} my_metric=1`;
}

function link(group, families) {
  const url = new URL(location.href);
  [url.username, url.password] = ["", ""];
  url.hash = address.write({ ...address.start(), open: new Map([[group.id, new Set(families)]]) });
  return String(url);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without TLS there is no clipboard; browsers still copy what is selected.
  }
  const area = element("textarea", { class: "unseen", "aria-hidden": "true", tabindex: "-1" });
  area.value = text;
  const before = document.activeElement;
  (document.querySelector("dialog[open]") || document.body).append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  before?.focus({ preventScroll: true });
  return isCopied;
}

/** A button that copies what `text()` gives. `what` says to screen readers what that is. */
function button(label, what, text) {
  const node = element("button", { type: "button", class: "quiet copy" });
  // Its name begins with what it shows.
  const show = (shown) => {
    setText(node, shown);
    setAttribute(node, "aria-label", `${shown}: copy ${what}`);
  };
  show(label);
  node.addEventListener("click", async () => {
    const copied = text();
    const said = (await copy(copied)) ? "Copied" : "Not copied";
    node.title = copied;
    say(`${said}: ${copied}`);
    show(said);
    setTimeout(() => show(label), SAID);
  });
  return node;
}

const bar = (...buttons) => element("p", { class: "copies" }, element("span", { class: "muted note" }, "Copy"), ...buttons);

/** The buttons of a group; `group()` is what is known of it now. */
export function groupButtons(group) {
  const of = `group ${selector(group().labels)}`;
  const remove = () => `curl --request DELETE ${quoted(urlOf(group()))}`;
  return bar(
    button("Selector", `the selector of ${of}`, () => selector(group().labels)),
    button("Push", `a push with curl to ${of}`, () => pushCommand(group())),
    button("tallygate push", `a push with tallygate to ${of}`, () => tallygateCommand(group())),
    ...(api.mayDelete ? [button("Delete command", `a deletion with curl of ${of}`, remove)] : []),
    button("Link", `a link to ${of}`, () => link(group(), [])),
  );
}

/** The buttons of a family. */
export function familyButtons(group, family) {
  return bar(
    button("Query", `a query for ${family().name}`, () => query(group, family(), [])),
    button("Link", `a link to ${family().name}`, () => link(group, [family().name])),
  );
}

/** The button of a series. */
export function seriesButton(group, family, series) {
  const what = `a query for ${seriesSelector(family.name, series.labels)}`;
  return button("Copy", what, () => query(group, family, series.labels, Boolean(series.native && !series.buckets)));
}
