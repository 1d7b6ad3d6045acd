// A live chart of a few lines over time, drawn as SVG.

import { h } from "./dom.js";

const svg = "http://www.w3.org/2000/svg";

function s(tag, attributes) {
  const e = document.createElementNS(svg, tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  return e;
}

/** The least of 1, 2, 2.5, 5 times a power of ten, or of the powers of two, that is not below n. */
function ceiling(n, binary) {
  if (binary) return 2 ** Math.ceil(Math.log2(Math.max(1, n)));
  const power = 10 ** Math.floor(Math.log10(Math.max(1, n)));
  return [1, 2, 2.5, 5, 10].find((step) => step * power >= n) * power;
}

/** Milliseconds that a chart may show. */
const spans = [1, 2, 5, 10].map((minutes) => minutes * 60000);

/** 30000 is "30 s". */
function time(ms) {
  return ms % 60000 ? `${ms / 1000} s` : `${ms / 60000} min`;
}

export class Chart {
  /**
   * figure holds a figcaption. lines are {name, color}, the colour a custom
   * property; write turns a value into text; binary chooses units of 1024.
   */
  constructor(figure, lines, write, { binary = false } = {}) {
    this.lines = lines;
    this.write = write;
    this.binary = binary;
    this.points = [];
    this.now = h("p", { className: "now" });
    this.legend = h("ul", { className: "legend" });
    this.values = lines.map((line) => {
      const value = h("b", {}, "–");
      const item = h("li", {}, h("i", { className: "swatch" }), line.name + " ", value);
      item.firstChild.style.background = `var(${line.color})`;
      this.legend.append(item);
      return value;
    });
    if (lines.length === 1) this.legend.hidden = true;
    this.svg = s("svg", { role: "img", preserveAspectRatio: "none" });
    this.title = s("title", {});
    this.grid = s("g", { class: "grid" });
    this.svg.append(this.title, this.grid);
    this.paths = lines.map((line, i) => {
      const area = s("path", { class: "area" });
      const path = s("path", { class: "line" });
      area.style.fill = `var(${line.color})`;
      path.style.stroke = `var(${line.color})`;
      if (i === 0) this.svg.append(area);
      this.svg.append(path);
      return { area, path };
    });
    this.cross = s("line", { class: "cross", y1: 0 });
    this.cross.style.display = "none";
    this.svg.append(this.cross);
    this.tip = h("output", { className: "tip", hidden: true });
    this.plot = h("div", { className: "plot" }, this.svg, this.tip);
    figure.append(this.now, this.legend, this.plot);
    new ResizeObserver(() => this.draw()).observe(this.plot);
    this.plot.addEventListener("pointermove", (e) => this.point(e.offsetX));
    this.plot.addEventListener("pointerleave", () => this.point(undefined));
  }

  /** Replaces what is shown: points are {at, values}, oldest first. */
  set(points) {
    this.points = points;
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.plot;
    if (!width || !height) return;
    const last = this.points.at(-1);
    this.values.forEach((e, i) => (e.textContent = last ? this.write(last.values[i]) : "–"));
    this.now.textContent = last ? this.write(last.values.reduce((a, b) => a + b, 0)) : "–";
    const end = last ? last.at : 0;
    const span = spans.find((ms) => ms >= end - (this.points[0]?.at ?? end)) ?? spans.at(-1); // a young process fills it, too
    const begin = end - span;
    const shown = this.points.filter((p) => p.at >= begin);
    const top = ceiling(1.08 * Math.max(1, ...shown.flatMap((p) => p.values)), this.binary);
    const bottom = height - 18;
    this.x = (at) => ((at - begin) / span) * width;
    this.y = (value) => bottom - (value / top) * (bottom - 6);
    this.shown = shown;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.title.textContent = this.lines.map((line, i) => `${line.name}: ${last ? this.write(last.values[i]) : "unknown"}`).join(", ");

    this.grid.replaceChildren();
    for (const part of [0, 0.5, 1]) {
      const y = Math.round(this.y(top * part)) + 0.5;
      this.grid.append(s("line", { x1: 0, x2: width, y1: y, y2: y }));
      if (part > 0) {
        const label = s("text", { x: 0, y: y + 12 });
        label.textContent = this.write(top * part);
        this.grid.append(label);
      }
    }
    for (const [part, anchor] of [[1, "start"], [0.5, "middle"], [0, "end"]]) {
      const label = s("text", { x: width - part * width, y: height - 3, "text-anchor": anchor });
      label.textContent = part ? `${time(part * span)} ago` : "now";
      this.grid.append(label);
    }

    this.paths.forEach(({ area, path }, i) => {
      const d = shown.map((p, n) => `${n ? "L" : "M"}${this.x(p.at).toFixed(1)} ${this.y(p.values[i]).toFixed(1)}`).join("");
      path.setAttribute("d", d);
      area.setAttribute("d", d ? `${d}L${width} ${bottom}L${this.x(shown[0].at).toFixed(1)} ${bottom}Z` : "");
    });
  }

  /** Shows the values at a place, or none. */
  point(x) {
    const show = x !== undefined && this.shown?.length > 0;
    this.tip.hidden = !show;
    this.cross.style.display = show ? "" : "none";
    if (!show) return;
    const nearest = this.shown.reduce((best, p) => (Math.abs(this.x(p.at) - x) < Math.abs(this.x(best.at) - x) ? p : best));
    const at = this.x(nearest.at);
    this.cross.setAttribute("x1", at);
    this.cross.setAttribute("x2", at);
    this.cross.setAttribute("y2", this.plot.clientHeight - 18);
    const ago = Math.round((this.shown.at(-1).at - nearest.at) / 1000);
    this.tip.textContent = this.lines.map((line, i) => `${line.name} ${this.write(nearest.values[i])}`).join(" · ") + (ago ? ` · ${ago}s ago` : " · now");
    this.tip.style.left = `${Math.max(0, Math.min(at - this.tip.offsetWidth / 2, this.plot.clientWidth - this.tip.offsetWidth))}px`;
  }
}

/** A line without axes, of the last values. */
export class Spark {
  constructor(size) {
    this.size = size;
    this.values = [];
    this.svg = s("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" });
    this.path = s("path", { "vector-effect": "non-scaling-stroke" });
    this.svg.append(this.path);
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > this.size) this.values.shift();
    const top = Math.max(1, ...this.values);
    const low = Math.min(...this.values);
    const range = Math.max(1, top - low);
    const first = this.size - this.values.length;
    this.path.setAttribute("d", this.values.map((v, i) =>
      `${i ? "L" : "M"}${(((first + i) / (this.size - 1)) * 100).toFixed(1)} ${(22 - ((v - low) / range) * 20).toFixed(1)}`).join(""));
  }
}
