// How counts, times, numbers and labels are written.

const counts = new Intl.NumberFormat("en");

/** A number of things: `1,234`. */
export const count = (number) => counts.format(number);

/** `1 group`, `2 groups`; `series` is its own plural. */
export const counted = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** How long ago a time is, in one unit. `now` is that of the gateway, in ms. */
export function ago(time, now) {
  if (!time) return "never";
  const seconds = Math.max(0, Math.round((now - Date.parse(time)) / 1000));
  if (seconds < 5) return "now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ago`;
  return `${counted(Math.floor(seconds / 86400), "day")} ago`;
}

/** A time in the reader's zone, to the second. */
export function moment(time) {
  if (!time) return "never";
  const date = new Date(time);
  const two = (number) => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** A number without an exponent, digit by digit so that nothing is rounded; very long ones stay as they are. */
function plain(text) {
  const parts = /^([+-]?)(\d+)(?:\.(\d+))?e([+-]?\d+)$/i.exec(text);
  if (!parts) return text;
  const [, sign, whole, fraction = "", exponent] = parts;
  const digits = whole + fraction;
  const point = whole.length + Number(exponent);
  if (point > 24 || point < -12) return text;
  const padded = point <= 0 ? "0".repeat(1 - point) + digits : digits.padEnd(point, "0");
  const at = Math.max(point, 1);
  const rest = padded.slice(at).replace(/0+$/, "");
  return (sign === "-" ? "-" : "") + padded.slice(0, at) + (rest ? `.${rest}` : "");
}

/** A number as it is shown everywhere: no exponent, and the digits before the point in groups of three. */
export function shown(text) {
  const [, sign, whole, rest] = /^([+-]?)(\d*)(.*)$/.exec(plain(text));
  return sign + whole.replace(/\B(?=(\d{3})+$)/g, ",") + rest;
}

/** The same of a number that was calculated, with as many digits as mean something. */
export const rounded = (value, digits) => shown(String(Number(value.toPrecision(digits))));

/** By how much a value changed; empty where it did not. */
export function change(before, now) {
  const by = number(now) - number(before);
  // What is left of two near numbers has fewer digits that mean something.
  return by !== 0 && Number.isFinite(by) ? `${by > 0 ? "+" : ""}${rounded(by, 9)}` : "";
}

/** The number that a text of the gateway stands for. */
export function number(text) {
  if (text === "+Inf" || text === "Inf") return Infinity;
  if (text === "-Inf") return -Infinity;
  return Number(text);
}

/** Characters that are not seen or turn the text around, but for the joiners that emoji and scripts need. */
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const SHORT = new Map([["\n", "\\n"], ["\r", "\\r"], ["\t", "\\t"]]);
const escaped = (unseen) => SHORT.get(unseen) || `\\u${unseen.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** A text with what is not seen in it spelled out. */
export const visible = (text) => text.replace(UNSEEN, escaped);

const quote = (text) => `"${text.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(UNSEEN, escaped)}"`;

/** A label name, in quotes where PromQL needs them. */
export const labelName = (name) => (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? name : quote(name));

/** The value of a label, in quotes. */
export const labelValue = quote;

/** Labels as PromQL writes them. */
export const selector = (labels) =>
  `{${labels.map(([name, value]) => `${labelName(name)}=${quote(value)}`).join(", ")}}`;
