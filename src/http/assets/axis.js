// The axes of the picture of a histogram: bounds along the bottom, counts at the side.

import { element } from "./dom.js";
import { number, rounded } from "./format.js";

/** The room of a bound along the bottom, in percent of the width. */
const ROOM = 14;

/** Lines at round counts: at most this many. */
const LINES = 4;

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

/** Bounds along the bottom, each at the edge of a bar; `width` is that of all columns. */
export function boundAxis(columns, width) {
  const axis = element("div", { class: "axis", "aria-hidden": "true" });
  for (const { text, place, room } of ticks(columns, width)) {
    const mark = element("i");
    mark.style.left = `${place}%`;
    const label = element("span", {}, text);
    label.style.left = `${room}%`;
    // At the ends the text begins or ends with the picture.
    if (place < room) label.classList.add("first");
    else if (place > room) label.classList.add("last");
    axis.append(mark, label);
  }
  return axis;
}

/** Where an edge is, and where there is room for its text: none so near to another that they overlap. */
function ticks(columns, width) {
  const edges = [];
  columns.forEach((column, index) => {
    const before = columns[index - 1];
    if (column.lower !== "-Inf" && (!before || before.upper !== column.lower || before.at + 1 !== column.at)) {
      edges.push({ text: column.lower, at: column.at });
    }
    edges.push({ text: column.upper, at: column.at + 1 });
  });
  const ticks = [];
  let end = 0;
  for (const { text, at } of edges) {
    const place = (100 * at) / width;
    const middle = Math.min(100 - ROOM / 2, Math.max(ROOM / 2, place));
    if (middle - ROOM / 2 < end - 0.001) continue;
    end = middle + ROOM / 2;
    ticks.push({ text: short(text), place, room: place < middle ? 0 : place > middle ? 100 : middle });
  }
  return ticks;
}

function short(text) {
  const value = number(text);
  if (!Number.isFinite(value) || value === 0) return text;
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e6) return value.toExponential(1).replace(".0", "").replace("+", "");
  return rounded(value, 3);
}

/** Round counts up to the largest. */
export function countLines(most) {
  if (!(most > 0) || most === Infinity) return [];
  const power = 10 ** Math.floor(Math.log10(most / LINES));
  // Part of an observation is nothing to draw a line at.
  const factors = power >= 10 ? [1, 2, 2.5, 5, 10] : [1, 2, 5, 10];
  const rough = power * factors.find((factor) => factor * power * LINES >= most * 0.999);
  const step = most >= 1 ? Math.max(1, rough) : rough;
  const lines = [];
  for (let line = step; line <= most && lines.length < LINES; line += step) lines.push(line);
  return lines;
}

/** Counts at the side of the picture. */
export function countAxis(most) {
  const axis = element("div", { class: "counts", "aria-hidden": "true" });
  for (const line of [0, ...countLines(most)]) {
    const label = element("span", {}, line >= 1e6 ? compact.format(line) : rounded(line, 3));
    label.style.bottom = `${(100 * line) / (most || 1)}%`;
    axis.append(label);
  }
  return axis;
}
