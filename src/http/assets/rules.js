// The rules in force, and whether the files that can change while the gateway runs are.

import { arrange, element, setText } from "./dom.js";
import { count, counted, moment } from "./format.js";
import { Facts, section } from "./tables.js";

/** Why a file is not in force; nothing if it is. */
function problemText({ since, reason }) {
  const why = reason === null ? "the log says why" : reason;
  return `Since ${moment(since)} it can't be used, and what was read before is in force: ${why}`;
}

/** A sentence about what is wrong, which is there only then. */
class Trouble {
  element = element("p", { class: "refusal trouble", hidden: true });

  show(problem) {
    this.element.hidden = !problem;
    setText(this.element, problem ? problemText(problem) : "");
  }
}

/** The selectors of a list of rules, behind a button. */
class Names {
  #summary = element("summary");
  #list = element("ol", { class: "rules" });
  #shown = "";

  constructor() {
    this.element = element("details", { hidden: true }, this.#summary, this.#list);
  }

  show(list, number, rules) {
    this.element.hidden = !rules?.length;
    if (this.element.hidden) return;
    const left = number - rules.length;
    setText(this.#summary, `The rules of [[${list}]]${left > 0 ? `, without the last ${count(left)}` : ""}`);
    const now = JSON.stringify(rules);
    if (now === this.#shown) return;
    this.#shown = now;
    const item = ({ selector, line }) =>
      element("li", {}, element("code", {}, selector), element("span", { class: "muted note" }, ` line ${line}`));
    arrange(this.#list, rules.map(item));
  }
}

export class Rules {
  #trouble = new Trouble();
  #names = [new Names(), new Names()];

  constructor() {
    const { id, element: part } = section("rules", "Rules");
    this.facts = new Facts(id);
    this.element = part;
    part.append(this.#trouble.element, this.facts.element, ...this.#names.map((names) => names.element));
  }

  show({ rules, config_file: file }) {
    this.#trouble.show(rules.problem);
    const { group_rules: groups, metric_rules: metrics, fingerprint } = rules;
    this.facts.show([
      ["In force", groups + metrics === 0 ? "no rules" : `${counted(groups, "rule")} for groups, ${count(metrics)} for metrics`],
      ["Read", { time: rules.loaded_at }],
      file === null ? null : ["File", file],
      fingerprint === null ? null : ["SHA-256 of the file", fingerprint],
    ]);
    this.#names[0].show("groups", groups, rules.groups);
    this.#names[1].show("metrics", metrics, rules.metrics);
  }
}

/** TLS and logins: the web configuration. */
export class WebConfig {
  #trouble = new Trouble();

  constructor() {
    const { id, element: part } = section("web", "TLS and logins");
    this.facts = new Facts(id);
    this.element = part;
    part.append(this.#trouble.element, this.facts.element);
  }

  show({ web_config: web, access }) {
    this.#trouble.show(web.problem);
    this.facts.show([
      ["TLS", access.has_tls ? "on" : "off"],
      ["Logins", access.has_logins ? "needed, or possible" : "none"],
      web.loaded_at === null ? null : ["Read", { time: web.loaded_at }],
    ]);
  }
}
