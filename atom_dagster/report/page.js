/* Draws the page's figures with Vega, fills its tables, and saves figures as CSV, SVG and PNG.
   Belongs here: what depends on the reader (width, theme, scale, highlight). Does not belong here: what a
   chart shows; that is in the specifications the page embeds. Nothing here asks the network for anything. */
"use strict";
(() => {
  const settings = JSON.parse(document.getElementById("settings").textContent);
  const darkMode = matchMedia("(prefers-color-scheme: dark)");
  const sans = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
  const NARROW = 480;
  const EXPORT_WIDTH = 900;
  const EXPORT_LABELS = 700;
  const LABEL_SHARE = 0.5;
  const LIGHT = { ink: "#1b1f24", soft: "#59626d", faint: "#e3e7eb", paper: "#ffffff" };
  const DARK = { ink: "#e6e9ed", soft: "#a3adb8", faint: "#2b3138", paper: "#14171b" };
  const SYMBOLS = {
    circle: "M-4.5,0a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0", square: "M-4,-4H4V4H-4Z", "triangle-up": "M0,-5L5,4H-5Z",
    diamond: "M0,-5L4,0L0,5L-4,0Z", cross: "M-1.6,-5H1.6V-1.6H5V1.6H1.6V5H-1.6V1.6H-5V-1.6H-1.6Z",
    "triangle-down": "M0,5L5,-4H-5Z",
  };
  let isPrinting = false;

  const isDark = () => darkMode.matches && !isPrinting;

  // --- specifications ---------------------------------------------------------------------------

  /** A copy of a specification, every text passed through `text`, every object through `object`. */
  function rewritten(value, text, object) {
    if (typeof value === "string") return text(value);
    if (Array.isArray(value)) return value.map((item) => rewritten(item, text, object));
    if (value === null || typeof value !== "object") return value;
    const copy = {};
    for (const [key, item] of Object.entries(value)) copy[key] = rewritten(item, text, object);
    return object(copy);
  }

  function themed(spec, { dark, scale, step, legends = true }) {
    const swap = dark ? { ...settings.dark, white: DARK.paper } : {};
    const logged = new Set();
    const copy = rewritten(
      spec,
      (text) => (Object.hasOwn(swap, text) ? swap[text] : text),
      (part) => {
        // Only the scale that may be switched names the type "linear".
        if (scale === "log" && part.scale && part.scale.type === "linear") {
          part.scale = { type: "log" };
          logged.add(part.field);
        }
        if (!legends && "legend" in part) part.legend = null;
        if (part.timeUnit === "utcyearmonth" && part.axis && step) {
          part.axis = { ...part.axis, tickCount: { interval: "month", step } };
        }
        return part;
      },
    );
    for (const field of logged) {
      copy.transform = [...(copy.transform || []), { filter: `datum[${JSON.stringify(field)}] > 0` }];
    }
    return copy;
  }

  function config({ dark, narrow, labels = narrow ? 135 : 260 }) {
    const tone = dark ? DARK : LIGHT;
    const axis = {
      labelColor: tone.soft, titleColor: tone.soft, gridColor: tone.faint, domainColor: tone.faint,
      tickColor: tone.faint, labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal",
    };
    return {
      font: sans, background: "transparent", aria: false, view: { stroke: null },
      axis,
      axisY: { ...axis, domain: false, ticks: false, labelPadding: 6, labelLimit: labels },
      axisX: { ...axis, labelLimit: narrow ? 70 : 120 },
      legend: {
        labelColor: tone.ink, titleColor: tone.soft, labelFontSize: 11, titleFontSize: 11,
        titleFontWeight: "normal", symbolStrokeWidth: 2, symbolSize: 90,
      },
      title: {
        color: tone.ink, subtitleColor: tone.soft, anchor: "start", fontSize: 15, subtitleFontSize: 11,
        subtitlePadding: 4, offset: 14,
      },
      rule: { color: tone.soft },
    };
  }

  /** A chart in an element; its `view` is Vega's, `finalize` lets go of it. */
  function embedded(element, spec, look, tooltip) {
    return vegaEmbed(element, spec, {
      mode: "vega-lite", renderer: "svg", actions: false, defaultStyle: false, hover: false, config: look, tooltip,
      logLevel: 1, // errors: warnings tell of defaults chosen
    });
  }

  // --- rows -------------------------------------------------------------------------------------

  function unpacked(column) {
    return Array.isArray(column) ? column : column.at.map((place) => (place === null ? null : column.of[place]));
  }

  class Figure {
    constructor(article) {
      this.article = article;
      this.id = article.id;
      this.charts = [...article.querySelectorAll(".chart")];
      this.views = [];
      this.focus = "";
      this.scale = "linear";
      this.drawnWidth = 0;
    }

    get data() {
      if (!this.parsed) {
        const found = JSON.parse(this.article.querySelector("script.data").textContent);
        const values = found.values.map(unpacked);
        found.length = values.length ? values[0].length : 0;
        found.cells = values;
        this.parsed = found;
      }
      return this.parsed;
    }

    /** Months between two labels of a time axis of this width. */
    monthStep(width) {
      const at = this.data.columns.findIndex((column) => column.name === "month");
      if (at < 0) return 0;
      const dates = this.data.cells[at].filter((value) => value !== null).map((value) => Date.parse(value));
      const span = (Math.max(...dates) - Math.min(...dates)) / (86_400_000 * 30.4);
      return [1, 2, 3, 6, 12, 24].find((step) => (span / step) * 44 < width - 60) || 60;
    }

    /** Fresh objects for Vega, which marks those it is given; months as UTC milliseconds. */
    rows() {
      const { columns, cells, length } = this.data;
      const readers = columns.map((column, place) => {
        const values = cells[place];
        return column.kind === "month"
          ? (row) => (values[row] === null ? null : Date.parse(`${values[row]}T00:00:00Z`))
          : (row) => values[row];
      });
      return Array.from({ length }, (_, row) =>
        Object.fromEntries(columns.map((column, place) => [column.name, readers[place](row)])));
    }

    /** Draws every panel. Of two calls that overlap, the later one's charts stay. */
    async draw() {
      if (!this.charts.length) return;
      this.turn = (this.turn || 0) + 1;
      const turn = this.turn;
      const dark = isDark();
      this.drawLegend();
      this.drawnWidth = this.charts[0].clientWidth;
      const drawn = await Promise.all(this.charts.map((element, place) => {
        const width = element.clientWidth;
        const legends = !this.data.legend.length;
        const step = this.monthStep(width);
        const spec = themed(this.data.panels[place].spec, { dark, scale: this.scale, step, legends });
        spec.width = width;
        spec.autosize = { type: "fit-x", contains: "padding" };
        spec.datasets = { ...(spec.datasets || {}), rows: this.rows() };
        // Names may take what the marks can spare.
        const labels = Math.max(width < NARROW ? 135 : 260, Math.round(width * LABEL_SHARE));
        const look = config({ dark, narrow: width < NARROW, labels });
        // Its own element: vega-embed names the one it is given, and this one bears the figure's sentence.
        return embedded(document.createElement("div"), spec, look, showTip);
      }));
      if (turn !== this.turn) {
        drawn.forEach((chart) => chart.finalize());
        return;
      }
      this.views.forEach((chart) => chart.finalize());
      this.views = drawn;
      this.charts.forEach((element, place) => element.replaceChildren(drawn[place].view.container()));
      for (const element of this.charts) element.style.minHeight = "0";
      if (this.focus) this.highlight(this.focus);
      this.article.dataset.drawn = dark ? "dark" : "light";
    }

    // --- legend, scale --------------------------------------------------------------------------

    drawLegend() {
      const group = this.article.querySelector(".legend");
      const swap = isDark() ? settings.dark : {};
      const held = group.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      group.replaceChildren(...this.data.legend.map(({ key, label, color, dash, shape }) => {
        const button = document.createElement("button");
        button.type = "button";
        button.dataset.key = key;
        button.setAttribute("aria-pressed", String(this.focus === key));
        const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        svg.setAttribute("width", "22");
        svg.setAttribute("height", "10");
        svg.setAttribute("aria-hidden", "true");
        const tone = swap[color] || color;
        const mark = document.createElementNS("http://www.w3.org/2000/svg", "path");
        const attributes = shape
          ? { d: SYMBOLS[shape], fill: tone, stroke: "currentColor", "stroke-width": .6, transform: "translate(11 5)" }
          : { d: "M0,5H22", stroke: tone, "stroke-width": 4, "stroke-dasharray": dash[1] ? dash.join(" ") : "none" };
        for (const [name, value] of Object.entries(attributes)) mark.setAttribute(name, String(value));
        svg.append(mark);
        button.append(svg, label);
        button.addEventListener("click", () => this.highlight(this.focus === key ? "" : key));
        return button;
      }));
      if (held !== null) [...group.children].find((button) => button.dataset.key === held)?.focus();
    }

    highlight(key) {
      this.focus = key;
      for (const button of this.article.querySelectorAll(".legend button")) {
        button.setAttribute("aria-pressed", String(button.dataset.key === key));
      }
      for (const { view } of this.views) view.signal("focus", key).run();
    }

    // --- table ----------------------------------------------------------------------------------

    fillTable() {
      const place = this.article.querySelector(".table .scroll");
      if (!place || place.firstChild) return;
      const { columns, cells, length } = this.data;
      const table = document.createElement("table");
      const caption = table.createCaption();
      caption.textContent = this.article.querySelector(".question").textContent;
      const left = columns.filter((column) => column.is_secondary).map((column) => column.label);
      if (left.length) {
        const note = document.createElement("span");
        note.className = "on-paper";
        note.textContent = ` Left out on paper: ${left.join(", ")}.`;
        caption.append(note);
      }
      const head = table.createTHead().insertRow();
      for (const column of columns) {
        const cell = document.createElement("th");
        cell.scope = "col";
        cell.textContent = column.label;
        cell.dataset.name = column.name;
        if (isNumber(column.kind)) cell.className = "n";
        if (column.is_secondary) cell.classList.add("secondary");
        head.append(cell);
      }
      const body = table.createTBody();
      for (let row = 0; row < length; row += 1) {
        const line = body.insertRow();
        columns.forEach((column, at) => {
          const cell = document.createElement(column.is_key ? "th" : "td");
          if (column.is_key) cell.scope = "row";
          line.append(cell);
          fillCell(cell, column.kind, cells[at][row]);
          if (column.is_secondary) cell.classList.add("secondary");
        });
      }
      place.append(table);
    }

    // --- saving ---------------------------------------------------------------------------------

    csv() {
      const { columns, cells, length } = this.data;
      const quoted = (value) => {
        const text = value === null ? "" : String(value);
        return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
      };
      const source = [settings.world, settings.is_synthetic, settings.build];
      const lines = [[...columns.map((column) => column.name), "world", "is_synthetic", "build_id"]];
      for (let row = 0; row < length; row += 1) lines.push([...cells.map((values) => values[row]), ...source]);
      return lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
    }

    /** All panels as one picture in the light theme, with title, source, marks and legends: whoever meets it
        alone must see what it shows and whether it is synthetic. `isLong` adds the definition. */
    picture(isLong) {
      const text = (selector) => this.article.querySelector(selector)?.textContent.trim() || "";
      const many = this.data.panels.length > 1;
      const width = many ? Math.round((EXPORT_WIDTH - 110) / 2) : EXPORT_WIDTH - 60;
      const datasets = Object.assign({}, ...this.data.panels.map(({ spec }) => spec.datasets || {}));
      const panels = this.data.panels.map(({ title, spec }) => {
        const panel = themed(spec, { dark: false, scale: this.scale, step: this.monthStep(width) });
        for (const key of ["$schema", "config", "datasets", "params"]) delete panel[key];
        return { ...panel, width, ...(title ? { title: { text: title, fontSize: 12, offset: 6 } } : {}) };
      });
      const title = text("h3").replace(/^\d+\s*/, "");
      const spec = {
        title: {
          text: settings.is_synthetic ? `[Synthetic] ${title}` : title,
          subtitle: [".question", "figcaption .marks", ...(isLong ? [".definition"] : []), ".provenance"]
            .map(text).filter(Boolean).flatMap((said) => wrapped(said)),
        },
        params: [{ name: "focus", value: this.focus }],
        concat: panels,
        columns: many ? 2 : 1,
        spacing: 28,
        datasets: { ...datasets, rows: this.rows() },
        padding: 16,
      };
      const labels = many ? 260 : EXPORT_LABELS;
      const look = { ...config({ dark: false, narrow: false, labels }), background: LIGHT.paper };
      return embedded(document.createElement("div"), spec, look, () => {});
    }

    async save(kind) {
      const name = `atom_${settings.world}_${this.id}_${settings.build}.${kind}`.replaceAll(/[^\w.-]+/g, "-");
      if (kind === "csv") return download(name, new Blob([this.csv()], { type: "text/csv;charset=utf-8" }));
      const chart = await this.picture(kind === "svg");
      try {
        if (kind === "svg") {
          return download(name, new Blob([await chart.view.toSVG()], { type: "image/svg+xml;charset=utf-8" }));
        }
        const canvas = await chart.view.toCanvas(2);
        return download(name, await new Promise((done) => { canvas.toBlob(done, "image/png"); }));
      } finally {
        chart.finalize();
      }
    }
  }

  function wrapped(text, limit = 125) {
    const lines = [""];
    for (const word of text.split(/\s+/)) {
      if ((lines.at(-1) + word).length > limit) lines.push("");
      lines[lines.length - 1] += `${lines.at(-1) ? " " : ""}${word}`;
    }
    return lines;
  }

  function download(name, blob) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  // --- cells and tooltips -------------------------------------------------------------------------

  const isNumber = (kind) => ["count", "share", "ratio", "number"].includes(kind);
  const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
  const digits = new Intl.NumberFormat("en-US", { maximumFractionDigits: 3 });
  const ungrouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 3, useGrouping: false });

  function written(kind, value) {
    if (kind === "count") return whole.format(value);
    if (kind === "share") return `${(value * 100).toFixed(1)}%`;
    if (kind === "ratio") return value.toFixed(2);
    // Days, places and months written as a number (202508) read wrong with separators.
    if (kind === "number") return (Math.abs(value) < 1e6 ? ungrouped : digits).format(value);
    if (kind === "month") return value.slice(0, 7);
    if (kind === "flag") return value ? "yes" : "no";
    return String(value);
  }

  function fillCell(cell, kind, value) {
    if (isNumber(kind)) cell.className = "n";
    if (value === null) {
      cell.classList.add("missing");
      cell.textContent = "–";
      return;
    }
    cell.dataset.value = String(value);
    if (kind === "link" && /^https?:\/\//.test(value)) {
      const link = document.createElement("a");
      link.href = value;
      link.rel = "noopener noreferrer";
      link.textContent = value;
      cell.append(link);
      cell.classList.add("text-long");
      return;
    }
    if (kind === "text" && value.length > 32) cell.classList.add("text-long");
    if (kind === "text" && value.length > 100) cell.classList.add("text-longest");
    cell.textContent = written(kind, value);
  }

  const tip = document.getElementById("tip");

  function showTip(_handler, event, _item, value) {
    if (value === null || value === undefined || value === "") {
      tip.hidden = true;
      return;
    }
    const table = document.createElement("table");
    for (const [name, text] of Object.entries(value)) {
      if (["null", "NaN", "", "undefined"].includes(String(text))) continue;
      const row = table.insertRow();
      row.insertCell().textContent = name;
      row.insertCell().textContent = String(text);
    }
    tip.replaceChildren(table);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const room = { x: innerWidth - box.width - 8, y: innerHeight - box.height - 8 };
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, room.x))}px`;
    const below = event.clientY + 16;
    tip.style.top = `${below > room.y ? Math.max(8, event.clientY - box.height - 12) : below}px`;
  }

  // --- the page -----------------------------------------------------------------------------------

  const figures = [...document.querySelectorAll("article.figure")].map((article) => new Figure(article));
  const waiting = new Set(figures);
  let drawn = 0;

  /** One chart's fault is told in its place, and keeps no other from being drawn. */
  function failed(figure, error) {
    console.error(figure.id, error);
    for (const element of figure.charts) {
      if (element.querySelector("svg")) continue;
      const said = document.createElement("p");
      said.className = "gap";
      said.textContent = "This chart could not be drawn here; the table below holds its numbers.";
      element.replaceChildren(said);
      element.style.minHeight = "0";
    }
  }

  const redrawn = (figure) => figure.draw().catch((error) => failed(figure, error));

  async function ensure(figure) {
    if (!waiting.delete(figure)) return;
    try {
      if (figure.article.querySelector("details.table")?.open) figure.fillTable();
      await figure.draw();
    } catch (error) {
      failed(figure, error);
    }
    drawn += 1;
    if (drawn === figures.length) document.documentElement.dataset.report = "drawn";
  }

  function redraw() {
    for (const figure of figures) if (!waiting.has(figure)) redrawn(figure);
  }

  for (const figure of figures) {
    const { article } = figure;
    article.querySelector("details.table")?.addEventListener("toggle", () => figure.fillTable());
    for (const button of article.querySelectorAll("[data-save]")) {
      button.addEventListener("click", async () => {
        const said = article.querySelector(".failed");
        said.textContent = "";
        try {
          await figure.save(button.dataset.save);
        } catch (error) {
          console.error(figure.id, error);
          said.textContent = "The file could not be made here.";
        }
      });
    }
    for (const radio of article.querySelectorAll(".scale input")) {
      radio.addEventListener("change", () => {
        figure.scale = radio.value;
        if (waiting.has(figure)) ensure(figure);
        else redrawn(figure);
      });
    }
  }

  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      ensure(figures.find((figure) => figure.article === entry.target));
    }
  }, { rootMargin: "300px" });
  figures.forEach((figure) => near.observe(figure.article));

  const idle = window.requestIdleCallback || ((work) => setTimeout(work, 50));
  async function drawNext() {
    const [next] = waiting;
    if (!next) return;
    await ensure(next);
    idle(drawNext);
  }
  idle(drawNext);

  darkMode.addEventListener("change", redraw);
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
  let settling;
  addEventListener("resize", () => {
    clearTimeout(settling);
    settling = setTimeout(() => {
      for (const figure of figures) {
        if (!waiting.has(figure) && figure.charts[0]?.clientWidth !== figure.drawnWidth) redrawn(figure);
      }
    }, 150);
  });
  addEventListener("beforeprint", () => {
    isPrinting = true;
    [...waiting].forEach(ensure);
    redraw();
  });
  addEventListener("afterprint", () => {
    isPrinting = false;
    redraw();
  });
  document.documentElement.dataset.report = "interactive";
  performance.mark("interactive");
})();
