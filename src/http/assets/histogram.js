// The picture of a histogram: a bar for each bucket, and the same as a table.

import { boundAxis, countAxis, countLines } from "./axis.js";
import { element, shape } from "./dom.js";
import { number, rounded, shown } from "./format.js";

/** A gap between native buckets is drawn as wide as it is, but not wider than this many buckets. */
const WIDEST_GAP = 12;
const WIDTH = 100;
const HEIGHT = 100;

/** What can be drawn: without aggregation a client may push counts that fall, and ones that are no numbers. */
const drawable = (count) => (count > 0 ? count : 0);

/** The buckets of a series of the API: bounds as texts, own population as a number. */
export function bucketsOf(series) {
  if (series.native) {
    return series.native.buckets.map(([lower, upper, text]) => {
      return { lower, upper, text, count: drawable(number(text)) };
    });
  }
  let below = 0;
  let lower = "-Inf";
  return (series.buckets || []).map(([upper, text]) => {
    const upTo = number(text);
    const bucket = { lower, upper, text, count: drawable(upTo - below) };
    lower = upper;
    if (!Number.isNaN(upTo)) below = upTo;
    return bucket;
  });
}

/** How many empty bars lie between two native buckets. */
function gap(native, before, after) {
  if (!before || !native || before.upper === after.lower) return 0;
  const [from, to] = [number(before.upper), number(after.lower)];
  // Bounds of the caller's own choice, or the way to or from the zero bucket: a gap, of no known width.
  if (native.schema < -4 || from === 0 || to === 0 || Math.sign(from) !== Math.sign(to)) return 1;
  const steps = Math.abs(Math.log2(to / from)) * 2 ** native.schema;
  return Math.min(WIDEST_GAP, Math.max(1, Math.round(steps)));
}

const range = ({ lower, upper }) => {
  if (lower === "-Inf") return `up to ${shown(upper)}`;
  if (upper === "+Inf") return `above ${shown(lower)}`;
  return `${shown(lower)} to ${shown(upper)}`;
};

function share(part, whole) {
  if (whole === Infinity) return "–";
  return whole > 0 ? `${((100 * part) / whole).toFixed(1).replace(/\.0$/, "")} %` : "0 %";
}

function population(value) {
  if (value === Infinity) return "+Inf";
  return Number.isInteger(value) ? shown(String(value)) : rounded(value, 6);
}

/** What the picture says, for those who can't see it. */
export function description(buckets) {
  const total = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  if (total === 0) return "Histogram without observations";
  const fullest = buckets.reduce((most, bucket) => (bucket.count > most.count ? bucket : most));
  return (
    `Histogram of ${buckets.length} buckets; the fullest, ${range(fullest)}, ` +
    `has ${population(fullest.count)} of ${population(total)} (${share(fullest.count, total)})`
  );
}

/** A figure of this series. */
export function picture(series) {
  const buckets = bucketsOf(series);
  if (buckets.length === 0) return element("p", { class: "muted" }, "No buckets.");
  const total = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  const most = Math.max(...buckets.map((bucket) => bucket.count), 0);
  const columns = [];
  let at = 0;
  for (const [index, bucket] of buckets.entries()) {
    at += gap(series.native, buckets[index - 1], bucket);
    columns.push({ ...bucket, at });
    at += 1;
  }
  const svg = shape("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    // Bars as narrow as this would show stripes where their edges are smoothed.
    "shape-rendering": at > 60 ? "crispEdges" : null,
    role: "img",
    "aria-label": description(buckets),
  });
  for (const line of countLines(most)) {
    const y = HEIGHT - (line / most) * HEIGHT;
    svg.append(shape("line", { x1: 0, x2: WIDTH, y1: y, y2: y, "vector-effect": "non-scaling-stroke" }));
  }
  const step = WIDTH / at;
  // A hair's breadth between the bars, but not where there are too many of them.
  const width = at > 60 ? step : step * 0.94;
  for (const column of columns) {
    const left = column.at * step;
    const title = `${range(column)}: ${population(column.count)} (${share(column.count, total)})`;
    // One in a million is seen too.
    const part = column.count === most ? 1 : column.count / most;
    const height = column.count > 0 ? Math.max(part * HEIGHT, 1.5) : 0;
    svg.append(
      shape(
        "g",
        {},
        shape("title", {}, title),
        shape("rect", { x: left, width: step, y: 0, height: HEIGHT, class: "whole" }),
        shape("rect", { x: left + (step - width) / 2, width, y: HEIGHT - height, height, class: "bar" }),
      ),
    );
  }
  return element("div", { class: "picture" }, countAxis(most), svg, boundAxis(columns, at));
}

/** The same numbers as a table. */
export function bucketTable(series) {
  const buckets = bucketsOf(series);
  const total = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  const isClassic = !series.native;
  const names = isClassic ? ["Values ≤", "Count", "In the bucket"] : ["Above", "Up to", "Count"];
  const head = [...names, "Share"];
  const rows = buckets.map((bucket) => {
    const cells = isClassic
      ? [shown(bucket.upper), shown(bucket.text), population(bucket.count)]
      : [shown(bucket.lower), shown(bucket.upper), shown(bucket.text)];
    return element("tr", {}, ...[...cells, share(bucket.count, total)].map((text) => element("td", {}, text)));
  });
  return element(
    "table",
    { class: "numbers" },
    element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
    element("tbody", {}, ...rows),
  );
}
