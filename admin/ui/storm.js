// What bounds the handshakes of a pool: how many begin a second, who waits, and
// whether ejections are ignored.

import { Spark } from "./chart.js";
import { h, text } from "./dom.js";
import { count, rate } from "./format.js";

/** Turns of counters into rates: the n-th call gives how much came a second since the one before. */
export class Pace {
  add(value, at = performance.now()) {
    const seconds = (at - this.at) / 1000;
    const pace = this.at === undefined || value < this.value || seconds <= 0 ? undefined : (value - this.value) / seconds;
    this.at = at;
    this.value = value;
    return pace;
  }
}

function gauge(name) {
  const spark = new Spark(60);
  const e = h("div", { className: "gauge" },
    h("p", { className: "muted" }, name), h("p", { className: "value" }, h("b"), h("span")), spark.svg, h("div", { className: "load", "aria-hidden": "true" }, h("i")));
  return { e, spark, value: e.querySelector("b"), rest: e.querySelector(".value span"), bar: e.querySelector("i") };
}

function fill(g, value, words, limit, of, level) {
  text(g.value, words);
  text(g.rest, of);
  g.spark.add(value);
  g.bar.style.width = limit ? `${Math.min(100, (100 * value) / limit).toFixed(1)}%` : "0";
  g.bar.parentElement.hidden = !limit;
  g.e.dataset.level = level;
}

/** An element with all this, to be kept up to date by updateStorm. */
export function makeStorm() {
  const begun = gauge("Handshakes a second");
  const waiting = gauge("Waiting for a backend");
  const panic = h("p", { className: "panic", role: "status", hidden: true },
    h("b", {}, "Panic."), " Live traffic fails on more than half of the pool, so ejections are ignored and all backends are used.");
  const e = h("div", { className: "storm" }, panic, h("div", { className: "gauges" }, begun.e, waiting.e));
  e.parts = { begun, waiting, panic, gauges: e.lastChild };
  e.pace = new Pace();
  return e;
}

/** The least that bounds the pool: its own limit, or those of its usable backends together; 0: nothing. */
export function capOf(pool) {
  const g = pool.governor;
  const own = g?.handshakes_per_second || 0;
  const each = (g?.handshakes_per_second_per_backend || 0) * pool.usable;
  return own && each ? Math.min(own, each) : own || each;
}

export function updateStorm(e, pool) {
  const { begun, waiting, panic, gauges } = e.parts;
  const g = pool.governor;
  const pace = e.pace.add(pool.backends.reduce((sum, b) => sum + b.handshakes, 0));
  e.hidden = !g && !pool.panic;
  panic.hidden = !pool.panic;
  gauges.hidden = !g;
  if (!g) return;
  const cap = capOf(pool);
  fill(begun, pace ?? 0, pace === undefined ? "–" : rate(pace), cap, cap ? ` of ${count(cap)}` : " no limit", cap && pace > 0.95 * cap ? "warn" : "ok");
  fill(waiting, g.waiting, count(g.waiting), g.room, g.room ? ` of ${count(g.room)}` : " nobody may wait",
    g.room && g.waiting >= g.room ? "error" : g.waiting ? "warn" : "ok");
}
