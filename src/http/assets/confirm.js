// The dialog that asks before something is deleted.

import { byId, element, say } from "./dom.js";

const dialog = byId("confirm");
const [cancel, go] = [byId("confirm-cancel"), byId("confirm-delete")];
const problem = byId("confirm-problem");
let action = null;

/**
 * Asks; `act` does it, and while that fails the dialog stays and says why. `items` are listed.
 * Where the user does not want to, the focus goes back to where it was.
 */
export function confirm(question, note, label, act, items = []) {
  byId("confirm-question").textContent = question;
  byId("confirm-note").textContent = note;
  const list = byId("confirm-list");
  list.replaceChildren(...items.map((item) => element("li", {}, item)));
  list.hidden = items.length === 0;
  list.scrollTop = 0;
  go.textContent = label;
  problem.hidden = true;
  action = act;
  setBusy(false);
  dialog.showModal();
  cancel.focus();
}

function setBusy(isBusy) {
  go.disabled = isBusy;
  dialog.toggleAttribute("aria-busy", isBusy);
}

async function run() {
  const wanted = action;
  setBusy(true);
  problem.hidden = true;
  // The user may have closed it meanwhile, and opened it for something else.
  const isStillAsked = () => dialog.open && action === wanted;
  try {
    await wanted(() => {
      if (isStillAsked()) dialog.close();
    });
  } catch (error) {
    const text = `Nothing was deleted. ${error.message}`;
    if (!isStillAsked()) {
      say(text);
      return;
    }
    problem.textContent = text;
    problem.hidden = false;
  }
  if (action === wanted) setBusy(false);
}

go.addEventListener("click", run);
cancel.addEventListener("click", () => dialog.close());
// A click beside the dialog is a no.
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
