// The log of events, the newest on top.

import { follow } from "./api.js";
import { $, h, text } from "./dom.js";
import { clock } from "./format.js";

const kept = 200;
const states = { live: "live", interrupted: "interrupted, trying again", locked: "wants the token" };

function line(event) {
  const who = [event.pool, event.backend].filter(Boolean).join("/");
  const e = h("li", {},
    h("time", { dateTime: event.time, title: new Date(event.time).toLocaleString() }, clock(event.time)),
    h("p", {}, h("b", {}, who || event.kind), " ", event.message));
  e.dataset.level = event.level;
  return e;
}

/** Follows the events for ever. */
export function start() {
  const list = $("events");
  follow(
    (event) => {
      $("events-empty").hidden = true;
      list.prepend(line(event));
      while (list.children.length > kept) list.lastElementChild.remove();
    },
    (state) => {
      text($("events-state"), states[state]);
      $("events-state").dataset.level = state === "live" ? "ok" : "warn";
    },
  );
}
