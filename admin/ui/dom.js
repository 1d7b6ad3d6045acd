// The few things that this page wants of a library.

export const $ = (id) => document.getElementById(id);

/** An element with properties (a dash or "role" makes an attribute) and children. */
export function h(tag, props = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined) continue;
    if (name.includes("-") || name === "role") e.setAttribute(name, value);
    else e[name] = value;
  }
  e.append(...children);
  return e;
}

/** Sets the text of e if it is another one, so that nothing is drawn again for nothing. */
export function text(e, value) {
  if (e.textContent !== value) e.textContent = value;
}

/** Makes the children of parent those of items, in order, keeping the elements of keys that stay. */
export function keyed(parent, items, keyOf, make, update) {
  const old = new Map([...parent.children].filter((e) => e.dataset.key !== undefined).map((e) => [e.dataset.key, e]));
  let at = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let e = old.get(key);
    if (e) {
      old.delete(key);
    } else {
      e = make(item);
      e.dataset.key = key;
    }
    if (e === at) at = at.nextElementSibling;
    else parent.insertBefore(e, at);
    update(e, item);
  }
  for (const e of old.values()) e.remove();
}
