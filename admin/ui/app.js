// The page as a whole: asks once a second what there is, and has it shown.

import { Refusal, ask, get, token } from "./api.js";
import { Chart } from "./chart.js";
import { close, field, open, toast } from "./dialog.js";
import { $, h, text } from "./dom.js";
import * as events from "./events.js";
import { bytes, clock, count, rate, span } from "./format.js";
import * as ledger from "./ledger.js";
import * as pools from "./pools.js";

const minutes = 10;
const charts = {
  sockets: new Chart($("chart-sockets"), [{ name: "sockets", color: "--kelp" }], count, { minutes }),
  frames: new Chart($("chart-frames"), [{ name: "from clients", color: "--kelp" }, { name: "to clients", color: "--sky" }], rate, { minutes }),
  bytes: new Chart($("chart-bytes"), [{ name: "from clients", color: "--kelp" }, { name: "to clients", color: "--sky" }], (n) => `${bytes(n)}/s`, { minutes, binary: true }),
};

let samples = [];
let locked = false;
let answered = 0;
let asking = false;
let turns = 0;

/** Samples as rates: how much came between one and the next. */
function rates(of) {
  return samples.slice(1).map((s, i) => {
    const before = samples[i];
    const seconds = Math.max(0.001, (s.at - before.at) / 1000);
    const since = (side) => Math.max(0, of(s[side]) - of(before[side])) / seconds; // a new process begins at 0
    return { at: s.at, values: [since("client_to_backend"), since("backend_to_client")] };
  });
}

function draw() {
  charts.sockets.set(samples.map((s) => ({ at: s.at, values: [s.active.sockets] })));
  charts.frames.set(rates((flow) => flow.frames));
  charts.bytes.set(rates((flow) => flow.bytes));
}

function showHealth(all, status) {
  const down = all.filter((p) => p.usable === 0 && (p.discovery || p.backends.some((b) => !b.retired))).map((p) => p.name);
  const panics = all.filter((p) => p.panic).map((p) => p.name);
  const [level, words] = !status.ready ? ["error", status.reason || "not ready"]
    : down.length ? ["error", `${down.join(", ")} down`]
    : panics.length ? ["error", `${panics.join(", ")} in panic`]
    : all.some((p) => p.backends.some((b) => !b.retired && (b.state === "down" || b.ejected))) ? ["warn", "degraded"]
    : ["ok", "healthy"];
  $("health").dataset.level = level;
  text($("health"), words);
  document.title = level === "ok" ? "Holdfast" : `${words} – Holdfast`;
}

function showStatus(status) {
  const c = status.configuration;
  const now = Date.parse(status.now);
  text($("facts"), `up ${span((now - Date.parse(status.began)) / 1000)}` + (c.loaded ? ` · configuration of ${clock(c.loaded)}` : ""));
  text($("version"), status.version);
  $("reload").hidden = !c.file;
  const refused = c.refused?.length > 0;
  $("banner").hidden = !refused;
  if (refused) text($("banner"), `The newest configuration is refused, the one before it runs: ${c.refused.join("; ")}`);
}

function askToken() {
  if (locked) return;
  locked = true;
  $("health").dataset.level = "muted";
  text($("health"), "locked");
  open({
    title: "Token",
    body: h("div", {}, h("p", {}, "This Holdfast asks for the token of admin.token. It is kept until this tab is closed."),
      field("Token", "token", { type: "password", required: true })),
    buttons: [{
      label: "Continue", kind: "main",
      run: async (values) => {
        token.set(values.token);
        try {
          await get("status");
        } catch (error) {
          token.forget();
          throw error;
        }
        locked = false;
      },
    }],
    // Escape is no way past it.
    closed: () => {
      if (!locked) {
        turn();
        return;
      }
      locked = false;
      askToken();
    },
  });
}

async function turn() {
  if (locked || asking || document.hidden) return;
  asking = true;
  try {
    const [history, all, status] = await Promise.all([get("history", { after: samples.at(-1)?.at ?? "" }), get("pools"), get("status")]);
    const oldest = history.now - (minutes * 60 + 2) * 1000;
    samples = [...samples, ...history.samples].filter((s) => s.at > oldest);
    draw();
    pools.show(all.pools);
    ledger.offer(all.pools);
    showStatus(status);
    showHealth(all.pools, status);
    $("leave").hidden = !token.get();
    answered = Date.now();
    if (turns++ === 0) ledger.refresh();
    document.body.classList.remove("stale");
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) {
      askToken();
    } else {
      document.body.classList.add("stale");
      $("health").dataset.level = "error";
      text($("health"), "no answer");
      $("banner").hidden = false;
      text($("banner"), `Holdfast does not answer${answered ? `; this is how it was at ${clock(answered)}` : ""}. ${error instanceof Refusal ? error.message : ""}`);
    }
  } finally {
    asking = false;
  }
}

$("reload").addEventListener("click", async () => {
  $("reload").disabled = true;
  try {
    const outcome = await ask("POST", "reload");
    toast(outcome.status === "unchanged" ? "The configuration is unchanged." : `Reloaded: ${outcome.changes || "no key has changed, the files that it names were read again"}`);
  } catch (error) {
    open({
      title: "The reload is refused",
      body: h("div", {}, h("p", {}, error.message), h("ul", { className: "mistakes" }, ...(error.errors ?? []).map((e) => h("li", {}, e)))),
      buttons: [{ label: "Close", kind: "main" }],
    });
  } finally {
    $("reload").disabled = false;
    turn();
  }
});

$("leave").addEventListener("click", () => {
  token.forget();
  location.reload();
});

$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("holdfast-theme", root.dataset.theme);
});

document.addEventListener("visibilitychange", () => turn());
addEventListener("pagehide", close);

ledger.start();
events.start();
turn();
setInterval(turn, 1000);
