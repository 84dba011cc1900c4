// The dialog that asks before something is deleted.

import { byId } from "./dom.js";

const dialog = byId("confirm");
const [cancel, go] = [byId("confirm-cancel"), byId("confirm-delete")];
const problem = byId("confirm-problem");
let action = null;

/**
 * Asks; `act` does it, and while that fails the dialog stays and says why.
 * Where the user does not want to, the focus goes back to where it was.
 */
export function confirm(question, note, label, act) {
  byId("confirm-question").textContent = question;
  byId("confirm-note").textContent = note;
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
  try {
    await wanted(() => dialog.close());
  } catch (error) {
    problem.textContent = `Nothing was deleted. ${error.message}`;
    problem.hidden = false;
  }
  setBusy(false);
}

go.addEventListener("click", run);
cancel.addEventListener("click", () => dialog.close());
// A click beside the dialog is a no.
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
