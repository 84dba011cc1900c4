// The switch between the system's colours, light and dark. `early.js` applies the choice when the page opens.

import { byId } from "./dom.js";
import { remember } from "./storage.js";

const KEY = "tallygate-theme";
const NEXT = { system: "light", light: "dark", dark: "system" };
const NAMES = { system: "Auto", light: "Light", dark: "Dark" };

const root = document.documentElement;
const button = byId("theme");
const current = () => root.dataset.theme || "system";

function show() {
  const name = NAMES[current()];
  button.textContent = name;
  button.setAttribute("aria-label", `${name} colours. Switch to ${NAMES[NEXT[current()]]}`);
}

button.addEventListener("click", () => {
  const theme = NEXT[current()];
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  remember(KEY, theme === "system" ? null : theme);
  show();
});
show();
