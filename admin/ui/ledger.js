// The ledger of open sockets, a page at a time.

import { ask, get } from "./api.js";
import { field, open, toast } from "./dialog.js";
import { $, h, keyed, text } from "./dom.js";
import { age, bytes, count } from "./format.js";

const limit = 50;
let cursor = "";
let next = "";
let visible = false;
let busy = false;

function row(s) {
  const cell = (className = "") => h("td", { className });
  const button = h("button", { type: "button", "aria-label": `Close socket ${s.id}` }, "Close…");
  button.addEventListener("click", () => askClose(s));
  return h("tr", {}, h("td", { className: "mono" }, s.id), cell(), cell(), cell("mono"), cell("mono"), cell("num"), cell("num"), cell("num"), cell("num"), cell("num"), h("td", {}, button));
}

function fill(e, s) {
  const open = (Date.now() - Date.parse(s.opened)) / 1000;
  const values = [
    s.pool, s.backend, s.client || "unix", s.key ?? "–", age(open), age(s.idle_seconds),
    `${bytes(s.client_to_backend.bytes)} / ${count(s.client_to_backend.frames)}`,
    `${bytes(s.backend_to_client.bytes)} / ${count(s.backend_to_client.frames)}`,
    s.round_trip_seconds === null ? "–" : `${(s.round_trip_seconds * 1000).toFixed(1)} ms`,
  ];
  values.forEach((value, i) => text(e.children[i + 1], value));
  e.classList.toggle("leaving", Boolean(s.leaving));
}

function askClose(s) {
  open({
    title: `Close socket ${s.id}?`,
    body: h("div", {}, h("p", {}, `Its client ${s.client || ""} on ${s.pool}/${s.backend} reads a Close between two frames.`),
      field("Code", "code", { value: "1008", inputMode: "numeric", pattern: "[0-9]{4}" }, "1000 to 1003, 1007 to 1014, or 3000 to 4999."),
      field("Reason", "reason", { placeholder: "closed by the operator", maxLength: 123 })),
    buttons: [{ label: "Cancel" }, {
      label: "Close socket", kind: "danger",
      run: async ({ code, reason }) => {
        await ask("DELETE", `sockets/${encodeURIComponent(s.id)}`, { code, reason });
        toast(`Socket ${s.id} is told Close ${code}`);
        refresh();
      },
    }],
  });
}

function query() {
  return Object.fromEntries(new FormData($("filter")));
}

/** Asks for the page that is shown, if anybody can see it. */
export async function refresh() {
  if (!visible || busy || document.hidden) return;
  busy = true;
  try {
    const page = await get("sockets", { ...query(), limit, cursor });
    next = page.next ?? "";
    keyed($("sockets"), page.sockets, (s) => s.id, row, fill);
    $("ledger-empty").hidden = page.sockets.length > 0;
    text($("ledger-count"), `${count(page.matched)} open`);
    $("older").disabled = next === "";
    $("newer").disabled = cursor === "";
    $("filter").classList.remove("wrong");
  } catch (error) {
    text($("ledger-count"), error.message);
    $("filter").classList.toggle("wrong", error.status === 400);
    if (error.status === 400) cursor = "";
  } finally {
    busy = false;
  }
}

function turn(to) {
  cursor = to;
  refresh();
}

/** Offers the names of pools and backends in the filter. */
export function offer(pools) {
  const fillSelect = (select, names) => {
    const wanted = ["", ...names];
    if ([...select.options].map((o) => o.value).join("\n") === wanted.join("\n")) return;
    const chosen = select.value;
    select.replaceChildren(...wanted.map((name) => h("option", { value: name }, name || "all")));
    select.value = wanted.includes(chosen) ? chosen : "";
  };
  const form = $("filter").elements;
  fillSelect(form.pool, pools.map((p) => p.name));
  const among = pools.filter((p) => !form.pool.value || p.name === form.pool.value);
  fillSelect(form.backend, [...new Set(among.flatMap((p) => p.backends.map((b) => b.name)))]);
}

/** Shows the ledger, and keeps it fresh while it is in view. */
export function start() {
  let wait;
  $("filter").addEventListener("input", () => {
    clearTimeout(wait);
    wait = setTimeout(() => turn(""), 250);
  });
  $("filter").addEventListener("submit", (e) => {
    e.preventDefault();
    turn("");
  });
  $("older").addEventListener("click", () => turn(next));
  $("newer").addEventListener("click", () => turn(""));
  new IntersectionObserver(([entry]) => {
    visible = entry.isIntersecting;
    refresh();
  }).observe(document.querySelector(".ledger"));
  setInterval(refresh, 3000);
}
