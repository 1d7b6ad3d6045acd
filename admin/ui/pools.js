// Pools and their backends: what they carry, how they are and why, and what is
// to become of them.

import { ask, pathOf } from "./api.js";
import { Spark } from "./chart.js";
import { field, open, toast } from "./dialog.js";
import { $, h, keyed, text } from "./dom.js";
import { age, count, rate, span } from "./format.js";
import { Pace, makeStorm, updateStorm } from "./storm.js";

// From so many backends on, a pool is shown densely.
const dense = 13;

const words = { up: "up", down: "down", ejected: "ejected", drain: "draining", maintenance: "maintenance", retired: "retired" };

function stateOf(b) {
  if (b.retired) return "retired";
  if (b.mode === "drain" || b.mode === "maintenance") return b.mode;
  if (b.report?.drain) return "drain";
  return b.state === "up" && b.ejected ? "ejected" : b.state;
}

/** Whether a drain is to be shown; a retired backend may have one too. */
function drains(b) {
  return b.retired ? Boolean(b.drain) : stateOf(b) === "drain";
}

function secondsSince(when) {
  return when ? (Date.now() - Date.parse(when)) / 1000 : NaN;
}

/** What a backend can carry, by the configuration and by its own account; 0: nobody says. */
function limitOf(b) {
  const own = b.report?.capacity || 0;
  return own && b.max_connections ? Math.min(own, b.max_connections) : own || b.max_connections;
}

/** What a backend says of itself. */
function reportWords(r) {
  const parts = [];
  if (r.load !== null) parts.push(`${Math.round(100 * r.load)} % full`);
  if (r.capacity) parts.push(`holds ${count(r.capacity)}`);
  if (r.drain) parts.push("asks to be drained");
  return parts.join(" · ") || "nothing special";
}

/** Why live traffic keeps a backend out, and for how long. */
function ejectionWords(e) {
  const left = (Date.parse(e.until) - Date.now()) / 1000;
  return `${e.ignored ? "used all the same" : left > 0 ? `for ${span(left)} more` : "about to return"} · ${e.why}`;
}

function why(b) {
  if (stateOf(b) === "ejected") return ejectionWords(b.ejected);
  const since = secondsSince(b.since);
  const health = b.state === "down" || stateOf(b) === "up" || b.why !== "not probed" ? `${b.state}${Number.isNaN(since) ? "" : " " + age(since)}` : "";
  const full = b.report && b.report.load !== null ? `${Math.round(100 * b.report.load)} % full` : "";
  return [full, health, b.why].filter(Boolean).join(" · ");
}

function drainWords(b) {
  const d = b.drain;
  const left = d?.left ?? b.active.sockets;
  if (left === 0) return "drained";
  const parts = [`${count(left)} left`];
  if (d?.forced) parts.push(`${count(d.forced)} at the deadline`);
  const to = d && Date.parse(d.expected) > Date.now() ? (Date.parse(d.expected) - Date.now()) / 1000 : NaN;
  if (!Number.isNaN(to)) parts.push(`done in ${span(to)}`);
  return parts.join(" · ");
}

/** Has the API change the mode of a backend, or of a pool. */
async function order(pool, backend, what, query) {
  const now = await ask("POST", `${pathOf(pool, backend)}/${what}`, query);
  const name = backend === undefined ? `Pool ${pool}` : `${pool}/${backend}`;
  const undrained = now.retired ? "not drained any more" : now.report?.drain ? "goes on draining, since it asks for that itself" : "takes sockets again";
  toast(`${name}: ${{ drain: "draining", undrain: undrained, maintenance: "in maintenance" }[what]}`);
}

function askDrain(pool, backend, sockets) {
  const name = backend ?? `pool ${pool}`;
  open({
    title: `Drain ${name}?`,
    body: h("div", {},
      h("p", {}, `Nothing new goes there from now on. ${sockets === 1 ? "One open socket is" : `${count(sockets)} open sockets are`} closed at the pace of the pool's configuration.`),
      field("Deadline", "deadline", { placeholder: "as configured", pattern: "([0-9]+(ms|s|m|h))+" }, "When the last ones are closed, such as 30s or 5m.")),
    buttons: [{ label: "Cancel" }, { label: "Drain", kind: "main", run: ({ deadline }) => order(pool, backend, "drain", { deadline }) }],
  });
}

function askMaintenance(pool, backend) {
  open({
    title: `${backend}: maintenance?`,
    body: h("p", {}, "Nothing new goes there, and nobody expects it to answer. Its open sockets stay."),
    buttons: [{ label: "Cancel" }, { label: "Begin maintenance", kind: "main", run: () => order(pool, backend, "maintenance") }],
  });
}

/** What may be done with a backend now: replaced is a retired one whose name another has. */
function actions(pool, b) {
  const undrain = { label: b.mode === "maintenance" ? "End maintenance" : "Undrain", run: () => order(pool, b.name, "undrain").catch((e) => toast(e.message, "error")) };
  const drain = { label: "Drain…", run: () => askDrain(pool, b.name, b.active.sockets) };
  const rest = { label: "Maintenance…", run: () => askMaintenance(pool, b.name) };
  if (b.retired) return b.replaced ? [] : b.drain ? [undrain] : [drain];
  return { ready: [drain, rest], drain: [undrain, rest], maintenance: [undrain] }[b.mode] ?? [undrain];
}

function details(pool, b) {
  const rows = [
    ["Address", b.address], ["State", why(b)], ["Mode", b.mode + (b.usable ? ", takes sockets" : "")],
    ["Sockets", count(b.active.sockets)], ["Requests under way", count(b.active.requests)], ["Handshakes under way", count(b.active.handshakes)], ["Handshakes so far", count(b.handshakes)],
    ["Weight", b.weight], ["Limit", b.max_connections ? count(b.max_connections) : "none"],
  ];
  if (b.ejected) rows.push(["Ejected", ejectionWords(b.ejected)]);
  if (b.last_probe) rows.push(["Last probe", `${b.last_probe.why}, in ${(b.last_probe.seconds * 1000).toFixed(1)} ms, ${age(secondsSince(b.last_probe.at))} ago`]);
  if (b.report) rows.push(["Reports", `${reportWords(b.report)}, ${age(secondsSince(b.report.at))} ago`]);
  if (drains(b)) rows.push(["Drain", drainWords(b)]);
  open({
    title: `${pool} / ${b.name}`,
    body: h("dl", { className: "details" }, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))])),
    buttons: [...actions(pool, b), { label: "Close", kind: "main" }],
  });
}

function makeTile() {
  const e = h("article", { className: "tile" },
    h("button", { className: "name", type: "button" }, h("i", { className: "glyph", "aria-hidden": "true" }), h("span")),
    h("p", { className: "state" }),
    h("p", { className: "sockets" }, h("b"), h("span")),
    h("p", { className: "pace", hidden: true }),
    h("div", { className: "load", "aria-hidden": "true" }, h("i")),
    h("p", { className: "why" }),
    h("div", { className: "progress" }, h("progress", { max: 1 }), h("span")),
    h("div", { className: "actions" }));
  const part = (selector) => e.querySelector(selector);
  e.parts = {
    button: part(".name"), name: part(".name span"), state: part(".state"), sockets: part(".sockets b"), unit: part(".sockets span"),
    load: part(".load i"), why: part(".why"), pace: part(".pace"), progress: part(".progress"), bar: part("progress"), left: part(".progress span"), actions: part(".actions"),
    spark: new Spark(60),
  };
  part(".sockets").after(e.parts.spark.svg);
  e.pace = new Pace();
  e.parts.button.addEventListener("click", () => details(e.pool, e.backend));
  return e;
}

function updateTile(e, pool, b, most) {
  const p = e.parts;
  const state = stateOf(b);
  const draining = drains(b);
  const word = draining && drainWords(b) === "drained" ? "drained" : words[state];
  e.pool = pool.name;
  e.backend = b;
  if (e.dataset.state !== state) e.dataset.state = state;
  text(p.name, b.name);
  text(p.state, word);
  text(p.sockets, count(b.active.sockets));
  text(p.unit, b.active.sockets === 1 ? " socket" : " sockets");
  text(p.why, why(b));
  p.button.setAttribute("aria-label", `${b.name}, ${word}, ${count(b.active.sockets)} sockets: details`);
  p.button.title = `${b.address}\n${why(b)}`;
  const carries = b.active.sockets + b.active.requests + b.active.handshakes;
  p.load.style.width = `${Math.min(100, (100 * carries) / (limitOf(b) || most || 1)).toFixed(1)}%`;
  p.spark.add(b.active.sockets);
  const limit = pool.governor?.handshakes_per_second_per_backend;
  const pace = e.pace.add(b.handshakes);
  p.pace.hidden = !limit || b.retired;
  if (limit) text(p.pace, `${pace === undefined ? "–" : rate(pace)} of ${count(limit)} handshakes a second`);
  p.progress.hidden = !draining;
  if (draining) {
    const total = Math.max(b.drain?.sockets ?? e.first ?? 0, b.active.sockets);
    e.first = total;
    p.bar.value = total ? (total - (b.drain?.left ?? b.active.sockets)) / total : 1;
    text(p.left, drainWords(b));
  } else {
    e.first = undefined;
  }
  const can = actions(pool.name, b);
  const labels = can.map((a) => a.label).join();
  if (e.labels !== labels) {
    e.labels = labels;
    p.actions.replaceChildren(...can.map((a, i) => {
      const button = h("button", { type: "button", "aria-label": `${a.label} ${b.name}` }, a.label);
      button.addEventListener("click", () => actions(e.pool, e.backend)[i]?.run());
      return button;
    }));
  }
}

function makePool() {
  const e = h("section", { className: "pool" },
    h("header", {}, h("h2"), h("p", { className: "muted rule" }), h("p", { className: "usable" }), h("p", { className: "total" }), h("div", { className: "tools" })),
    makeStorm(), h("div", { className: "tiles" }));
  const part = (selector) => e.querySelector(selector);
  e.parts = { name: part("h2"), rule: part(".rule"), usable: part(".usable"), total: part(".total"), tools: part(".tools"), tiles: part(".tiles"), storm: part(".storm") };
  const drain = h("button", { type: "button" }, "Drain pool…");
  drain.addEventListener("click", () => askDrain(e.pool.name, undefined, e.sockets));
  const undrain = h("button", { type: "button" }, "Undrain pool");
  undrain.addEventListener("click", () => order(e.pool.name, undefined, "undrain").catch((error) => toast(error.message, "error")));
  e.parts.tools.append(drain, undrain);
  e.parts.drain = drain;
  e.parts.undrain = undrain;
  return e;
}

function updatePool(e, pool) {
  const p = e.parts;
  const current = pool.backends.filter((b) => !b.retired);
  e.pool = pool;
  e.sockets = pool.backends.reduce((sum, b) => sum + b.active.sockets, 0);
  text(p.name, pool.name);
  const d = pool.discovery;
  text(p.rule, [pool.balance || "no longer configured", d && (d.trouble ? `${d.source} fails: ${d.trouble}` : d.source)].filter(Boolean).join(" · "));
  p.rule.classList.toggle("trouble", Boolean(d?.trouble));
  text(p.usable, current.length || d ? `${pool.usable} of ${current.length} usable` : "");
  p.usable.dataset.level = !current.length && !d ? "muted" : pool.usable === 0 || pool.panic ? "error" : pool.usable < current.length ? "warn" : "ok";
  text(p.total, `${count(e.sockets)} ${e.sockets === 1 ? "socket" : "sockets"}`);
  p.drain.hidden = !current.some((b) => b.mode === "ready");
  p.undrain.hidden = !current.some((b) => b.mode !== "ready");
  updateStorm(p.storm, pool);
  p.tiles.classList.toggle("dense", pool.backends.length >= dense);
  const most = Math.max(...pool.backends.map((b) => b.active.sockets + b.active.requests + b.active.handshakes), 1);
  for (const b of pool.backends) b.replaced = b.retired && current.some((c) => c.name === b.name);
  keyed(p.tiles, pool.backends, (b) => `${b.address} ${b.retired}`, makeTile, (tile, b) => updateTile(tile, pool, b, most));
}

/** Shows pools as the API has them. */
export function show(pools) {
  const place = $("pools");
  place.querySelector(".empty")?.remove();
  keyed(place, pools, (p) => p.name, makePool, updatePool);
}
