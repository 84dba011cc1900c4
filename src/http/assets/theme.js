// Runs before the page is drawn, so that it never shows in the wrong colours or view.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("script");
  const asked = new URLSearchParams(location.hash.slice(1)).get("view");
  root.dataset.view = asked === "status" || (!location.hash && root.dataset.path === "status") ? "status" : "groups";
  try {
    const theme = localStorage.getItem("tallygate-theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch {
    // Storage may be forbidden; the system's theme does then.
  }
})();
