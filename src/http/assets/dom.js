// Elements. Whatever comes from a push becomes a text node and never markup.

/** An element with attributes; `on…` are listeners, children are nodes or texts. */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  fill(node, attributes);
  node.append(...children);
  return node;
}

/** The same for a picture. */
export function shape(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  fill(node, attributes);
  node.append(...children);
  return node;
}

function fill(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
}

/** The element with this id, which the shell has. */
export const byId = (id) => document.getElementById(id);

/** Sets a text only where it differs, so that a selection in it stays. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute only where it differs; null takes it away. */
export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

let lastId = 0;

/** A name for an element that another one refers to. */
export const newId = () => `id${++lastId}`;

/**
 * Makes `nodes` the children of `parent`, in this order. What is in place stays in place, and the child
 * that has the focus or a selection is never moved: the others move around it, since a moved node loses both.
 */
export function arrange(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  const held = heldChild(parent);
  let at = parent.firstElementChild;
  for (const node of nodes) {
    if (node === held && at !== node) {
      while (at !== node) {
        const next = at.nextElementSibling;
        parent.append(at);
        at = next;
      }
    }
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
}

function heldChild(parent) {
  const focused = document.activeElement;
  const selection = document.getSelection();
  const selected = selection && !selection.isCollapsed ? selection.anchorNode : null;
  const within = [focused, selected].find((node) => node && node !== parent && parent.contains(node));
  if (!within) return null;
  let child = within;
  while (child.parentNode !== parent) child = child.parentNode;
  return child;
}

/** Tells a screen reader something that is seen otherwise. */
export function say(text) {
  byId("said").textContent = text;
}
