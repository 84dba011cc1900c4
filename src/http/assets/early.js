// Runs before the page is drawn, so that it never shows in the wrong colours or view, and asks for the first groups
// while the rest of the page is still on its way.
"use strict";
(() => {
  const root = document.documentElement;
  const words = new URLSearchParams(location.hash.slice(1));
  root.classList.add("script");
  const isStatus = words.get("view") === "status" || (!location.hash && root.dataset.path === "status");
  root.dataset.view = isStatus ? "status" : "groups";
  try {
    const theme = localStorage.getItem("tallygate-theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch {
    // Storage may be forbidden; the system's theme does then.
  }
  if (isStatus) return;
  // The address is read as address.js does it. Where that differs, the answer is not used.
  const sort = ["pushed", "pushes", "size"].find((known) => known === words.get("sort")) || "name";
  const order = words.get("order") === "desc" ? "desc" : "asc";
  const query = { q: words.get("q") || "", sort, order, offset: 0, limit: 50 };
  const path = `api/v1/groups?${new URLSearchParams(query)}`;
  const url = new URL(`${root.dataset.base}/${path}`, location.href);
  [url.username, url.password] = ["", ""];
  const answer = fetch(url, { cache: "no-store", credentials: "same-origin" });
  // Whoever takes it tells what is wrong.
  answer.catch(() => {});
  window.early = { path, answer };
})();
