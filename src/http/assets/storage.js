// What the browser remembers. Where storage is forbidden a choice lasts as long as the page.

/** What was remembered; null for nothing. */
export function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** Remembers a text; null forgets it. */
export function remember(key, text) {
  try {
    if (text === null) localStorage.removeItem(key);
    else localStorage.setItem(key, text);
  } catch {
    // There is no other place.
  }
}
