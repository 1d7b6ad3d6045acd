// Questions, and what came of them.

import { $, h, text } from "./dom.js";

const dialog = $("dialog");
let current = null;

/**
 * Opens the dialog. body is an element; buttons are {label, kind, run}: kind
 * is "main", "danger" or nothing, and run gets the form's values and may throw,
 * which is shown, and the dialog stays. A button without run closes it.
 */
export function open({ title, body, buttons, closed }) {
  if (dialog.open) dialog.close();
  text($("dialog-title"), title);
  $("dialog-body").replaceChildren(body);
  $("dialog-error").hidden = true;
  const first = buttons.findIndex((b) => b.kind);
  $("dialog-buttons").replaceChildren(...buttons.map((b, i) => {
    const e = h("button", { type: i === first ? "submit" : "button", className: b.kind ?? "", value: String(i) }, b.label);
    if (i !== first) e.addEventListener("click", () => press(i));
    return e;
  }));
  current = { buttons, closed };
  dialog.showModal();
  (dialog.querySelector("[autofocus], input") ?? dialog.querySelector("#dialog-buttons button:last-child")).focus();
}

/** Closes the dialog. */
export function close() {
  if (dialog.open) dialog.close();
}

async function press(i) {
  const { run } = current.buttons[i];
  if (!run) {
    dialog.close();
    return;
  }
  const all = [...dialog.querySelectorAll("#dialog-buttons button")];
  all.forEach((b) => (b.disabled = true));
  try {
    const fields = [...dialog.querySelectorAll("#dialog-body [name]")].map((e) => [e.name, e.value.trim()]);
    const was = current;
    await run(Object.fromEntries(fields));
    if (current === was) dialog.close();
  } catch (error) {
    text($("dialog-error"), error.message);
    $("dialog-error").hidden = false;
  } finally {
    all.forEach((b) => (b.disabled = false));
  }
}

dialog.addEventListener("submit", (e) => {
  e.preventDefault();
  press(Math.max(0, current.buttons.findIndex((b) => b.kind)));
});
dialog.addEventListener("close", () => current?.closed?.());

/** A field of a dialog, with its label and a word of help. */
export function field(label, name, properties = {}, help = "") {
  const input = h("input", { name, spellcheck: false, autocomplete: "off", ...properties });
  return h("label", { className: "field" }, h("span", {}, label), input, ...(help ? [h("small", {}, help)] : []));
}

/** Says something for a few seconds. */
export function toast(message, level = "info") {
  const e = h("p", { className: "toast" }, message);
  e.dataset.level = level;
  $("toasts").append(e);
  setTimeout(() => e.remove(), level === "error" ? 12000 : 6000);
}
