"use strict";
// Builds the interactive parts of the report from the data in #report-data.
// Elements are made with text only; no string of a study is ever read as markup.
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const INK = "#334e68", GRID = "#e4e9ef", FONT = getComputedStyle(document.body).fontFamily;
  const byId = (id) => document.getElementById(id);

  // --- elements and text -------------------------------------------------------------------
  function el(tag, options = {}, children = []) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(options)) {
      if (name === "text") node.textContent = value;
      else if (name === "style") Object.assign(node.style, value);
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }
  // Plotly reads a little markup in labels; these entities make it show text as it is.
  const safe = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;")
    .replace(/>/g, "&gt;").replace(/\$/g, "&#36;");
  const shorten = (text, most = 60) => (text.length > most ? text.slice(0, most - 1) + "…" : text);
  function num(value, whole = Number.isInteger(value)) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (whole && size < 1e6) return value.toLocaleString("en");
    if (size >= 1e6 || (size > 0 && size < 1e-3)) return value.toExponential(2);
    if (size >= 1e3) return Math.round(value).toLocaleString("en");
    return size > 0 && size < 0.1 ? String(Number(value.toPrecision(3))) : value.toPrecision(4);
  }
  const valueOf = (m, arm, k, i) => num(arm.values[k][i], m.whole);
  const unitOf = (unit) => (unit === "1" ? "" : unit);
  const withUnit = (m) => (m.unit ? `${m.name} [${m.unit}]` : m.name);
  const better = (m) => (m.goal === "min" ? "lower is better" : "higher is better");
  const axisTitle = (m) =>
    `${safe(shorten(withUnit(m), 48))}<br><span style="font-size:12px">${safe(m.evidence)}, ${better(m)}</span>`;
  const badge = (word, kind = word) => el("span", { class: `badge ${/^\w+$/.test(kind) ? kind : ""}`, text: word });

  // --- plots -------------------------------------------------------------------------------
  const axis = (title, more = {}) => ({
    title: { text: title, standoff: 10, font: { size: 13.5 } }, gridcolor: GRID, linecolor: "#9fb3c8",
    zeroline: false, ticks: "outside", tickcolor: "#9fb3c8", ticklen: 5, automargin: true,
    exponentformat: "power", ...more,
  });
  // Plots are drawn once all panels of a part stand, since panels share the width.
  const queue = [];
  function draw(node, traces, layout, height, clickable = false) {
    queue.push(() => {
      plot(node, traces, layout, height, clickable);
      if (clickable) node.on("plotly_click", clicked);
    });
  }
  function clicked(event) {
    const picked = event.points.map((p) => p.customdata).find(Array.isArray);
    if (picked) select(picked[0], picked[1], true);
  }
  function plot(node, traces, layout, height, clickable) {
    Plotly.newPlot(node, traces, {
      height, margin: { l: 70, r: 24, t: 40, b: 62 }, font: { family: FONT, size: 13, color: INK },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "#ffffff", hovermode: "closest",
      hoverlabel: { bgcolor: "#ffffff", bordercolor: "#9fb3c8", align: "left", font: { color: "#102a43", size: 13 } },
      legend: { orientation: "h", x: 0, y: 1.02, xanchor: "left", yanchor: "bottom", font: { size: 12.5 } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: "#9fb3c8", activecolor: "#0072b2" },
      ...layout,
    }, {
      responsive: true, displaylogo: false, displayModeBar: clickable ? "hover" : false,
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
      toImageButtonOptions: { format: "svg", filename: "figure" },
    });
  }
  function panel(parent, title, hint) {
    const canvas = el("div", { class: "canvas" });
    const tools = el("div", { class: "tools" });
    parent.append(el("div", { class: "plot" }, [
      ...(title ? [el("h3", { text: title })] : []), ...(hint ? [el("p", { class: "hint", text: hint })] : []),
      tools, canvas,
    ]));
    return { canvas, tools };
  }
  function hover(a, i) {
    const arm = data.arms[a];
    const lines = [`<b>${safe(shorten(arm.name, 40))}, trial ${arm.number[i]}</b>`];
    data.objectives.forEach((m, k) => {
      lines.push(`${safe(shorten(m.name, 40))}: <b>${valueOf(m, arm, k, i)}</b> ${safe(shorten(unitOf(m.unit), 20))} (${safe(m.evidence)})`);
    });
    if (!arm.feasible[i]) lines.push("breaks a constraint");
    if (arm.summary[i]) lines.push(safe(shorten(arm.summary[i])));
    const detail = arm.details[arm.number[i]];
    for (const [name, value] of detail ? detail.params.slice(0, 8) : []) {
      lines.push(`${safe(shorten(name, 40))} = ${safe(shorten(value, 50))}`);
    }
    return lines.join("<br>");
  }
  const total = data.arms.reduce((sum, arm) => sum + arm.number.length, 0);
  const dense = total > 1500 ? 0.65 : 1;  // smaller points where there are many
  function points(a, keep, x, y, marker, name, more = {}) {
    const arm = data.arms[a], index = arm.number.map((_, i) => i).filter((i) => keep(arm, i));
    if (!index.length) return [];
    return [{
      type: "scatter", mode: "markers", name: safe(name), x: index.map(x), y: index.map(y),
      text: index.map((i) => hover(a, i)), hovertemplate: "%{text}<extra></extra>",
      customdata: index.map((i) => [a, arm.number[i]]), marker, legendgroup: `arm${a}`, ...more,
    }];
  }
  const scored = (arm, i) => arm.values.length > 0 && arm.values[0][i] !== null;

  // Corners of the staircase through the feasible points that none beats in x and y.
  function staircase(arm, kx, ky) {
    const sx = data.objectives[kx].goal === "max" ? -1 : 1, sy = data.objectives[ky].goal === "max" ? -1 : 1;
    const all = arm.number.map((_, i) => i).filter((i) => scored(arm, i) && arm.feasible[i])
      .map((i) => [sx * arm.values[kx][i], sy * arm.values[ky][i]]).sort((p, q) => p[0] - q[0] || p[1] - q[1]);
    const line = [];
    let lowest = Infinity;
    for (const [x, y] of all) {
      if (y >= lowest) continue;
      if (line.length) line.push([x, lowest]);
      line.push([x, y]);
      lowest = y;
    }
    return line.map(([x, y]) => [sx * x, sy * y]);
  }
  function frontTraces(kx, ky) {
    const pale = [], bright = [];
    data.arms.forEach((arm, a) => {
      const x = (i) => arm.values[kx][i], y = (i) => arm.values[ky][i], name = shorten(arm.name, 30);
      const line = staircase(arm, kx, ky), marker = { color: arm.colour, symbol: arm.symbol };
      pale.push(...points(a, (m, i) => scored(m, i) && !m.feasible[i], x, y,
        { ...marker, symbol: "x-thin-open", size: 8 * dense, opacity: 0.55, line: { width: 1.6, color: arm.colour } }, `${name}, infeasible`));
      pale.push(...points(a, (m, i) => scored(m, i) && m.feasible[i] && !m.front[i], x, y,
        { ...marker, size: 8 * dense, opacity: 0.32 * dense }, `${name}, dominated`));
      if (line.length > 1) {
        bright.push({
          type: "scatter", mode: "lines", x: line.map((p) => p[0]), y: line.map((p) => p[1]), hoverinfo: "skip",
          line: { color: arm.colour, width: 2, dash: a % 2 ? "dash" : "solid" }, legendgroup: `arm${a}`, showlegend: false,
        });
      }
      const bars = (k) => {
        const known = arm.number.map((n, i) => [n, i]).filter(([, i]) => arm.front[i]);
        const side = (s) => known.map(([n, i]) => {
          const range = arm.intervals[k][n];
          return range ? Math.max(0, s * (range[s < 0 ? 0 : 1] - arm.values[k][i])) : 0;
        });
        const plus = side(1), minus = side(-1);
        return { type: "data", symmetric: false, array: plus, arrayminus: minus, width: 0, thickness: 1.2,
          color: arm.colour + "66", visible: plus.concat(minus).some((v) => v > 0) };
      };
      bright.push(...points(a, (m, i) => m.front[i], x, y,
        { ...marker, size: 12, line: { color: "#ffffff", width: 1.5 } }, `${name}, front`,
        { error_x: bars(kx), error_y: bars(ky) }));
    });
    return [...pale, ...bright];
  }
  function span(values, log) {
    let low = Math.min(...values), high = Math.max(...values);
    if (log) [low, high] = [Math.log10(low), Math.log10(high)];
    const pad = 0.08 * (high - low) || Math.abs(high) * 0.05 || 1;
    return [low - pad, high + pad];
  }
  function limits(kx, ky) {
    const shapes = [], annotations = [];
    for (const [which, k] of [["x", kx], ["y", ky]]) {
      for (const { at, text } of data.objectives[k].limits) {
        const across = which === "x" ? "y" : "x";
        shapes.push({ type: "line", layer: "below", line: { color: "#829ab1", width: 1.3, dash: "dot" },
          [`${which}0`]: at, [`${which}1`]: at, [`${across}ref`]: "paper", [`${across}0`]: 0, [`${across}1`]: 1 });
        annotations.push({ text: safe(shorten(text, 40)), showarrow: false, font: { size: 11.5, color: "#627d98" },
          ...(which === "x" ? { x: at, yref: "paper", y: 0.01, xanchor: "right", yanchor: "bottom", textangle: -90 }
            : { y: at, xref: "paper", x: 1, xanchor: "right", yanchor: "bottom" }) });
      }
    }
    return { shapes, annotations };
  }
  function frontPlot(parent, [kx, ky], alone) {
    const [mx, my] = [data.objectives[kx], data.objectives[ky]];
    const { canvas, tools } = panel(parent, alone ? "" : `${my.name} against ${mx.name}`,
      alone ? "" : "The line is the front of this pair alone.");
    const log = { x: mx.wide, y: my.wide };
    const traces = frontTraces(kx, ky);
    draw(canvas, traces, {
      xaxis: axis(axisTitle(mx), { type: log.x ? "log" : "linear" }),
      yaxis: axis(axisTitle(my), { type: log.y ? "log" : "linear" }), ...limits(kx, ky),
    }, alone ? 540 : 440, true);
    const fronts = data.arms.flatMap((arm) => arm.number.map((_, i) => [arm, i]).filter(([m, i]) => m.front[i]));
    const focus = el("button", { type: "button", text: "Zoom to front", "aria-pressed": "false", onclick: () => zoom(focus.getAttribute("aria-pressed") !== "true") });
    function zoom(on) {
      focus.setAttribute("aria-pressed", String(on));
      if (!on) return Plotly.relayout(canvas, { "xaxis.autorange": true, "yaxis.autorange": true });
      return Plotly.relayout(canvas, {
        "xaxis.range": span(fronts.map(([m, i]) => m.values[kx][i]), log.x),
        "yaxis.range": span(fronts.map(([m, i]) => m.values[ky][i]), log.y),
      });
    }
    if (fronts.length > 1) tools.append(focus);
    for (const [which, m, k] of [["x", mx, kx], ["y", my, ky]]) {
      const values = data.arms.flatMap((arm) => arm.values[k]).filter((v) => v !== null);
      if (!values.every((v) => v > 0)) continue;
      const button = el("button", { type: "button", text: `Logarithmic ${shorten(m.name, 24)}`, "aria-pressed": String(log[which]), onclick: () => {
        log[which] = !log[which];
        button.setAttribute("aria-pressed", String(log[which]));
        focus.setAttribute("aria-pressed", "false");
        Plotly.relayout(canvas, { [`${which}axis.type`]: log[which] ? "log" : "linear", "xaxis.autorange": true, "yaxis.autorange": true });
      } });
      tools.append(button);
    }
  }
  const nothing = (parent, text) => parent.append(el("p", { class: "card empty", text }));
  const anyScored = data.arms.some((arm) => arm.number.some((_, i) => scored(arm, i)));

  function fronts() {
    const parent = byId("front-plots");
    if (!anyScored) return nothing(parent, "No trial was scored, so there is nothing to plot.");
    if (!data.pairs.length) return progressPlot(parent, 0, 480);
    const shown = data.pairs.slice(0, 10);
    if (shown.length > 1) parent.classList.add("two");
    shown.forEach((pair) => frontPlot(parent, pair, shown.length === 1));
    if (shown.length < data.pairs.length) nothing(parent, `${data.pairs.length - shown.length} further pairs of objectives are not drawn.`);
    return undefined;
  }
  function progressPlot(parent, k, height = 380) {
    const m = data.objectives[k], traces = [];
    const { canvas } = panel(parent, shorten(withUnit(m), 60), `${shorten(m.evidence)}, ${better(m)}`);
    const every = Math.max(1, Math.ceil(total / 4000));
    if (every > 1) canvas.before(el("p", { class: "hint", text: `Every ${every}th trial is drawn; the lines know all of them.` }));
    data.arms.forEach((arm, a) => {
      const kinds = [[1, { symbol: arm.symbol }], [0, { symbol: "x-thin-open", line: { width: 1.4, color: arm.colour } }]];
      for (const [feasible, look] of kinds) {
        traces.push(...points(a, (m, i) => scored(m, i) && m.feasible[i] === feasible && i % every === 0,
          (i) => arm.ended[i], (i) => arm.values[k][i], { color: arm.colour, size: 6 * dense, opacity: 0.38 * dense, ...look },
          `${shorten(arm.name, 30)}, trials`, { showlegend: false }));
      }
      if (arm.best[k].length) traces.push(steps(arm, a, arm.best[k].map((p) => p[0]), arm.best[k].map((p) => p[1]), m));
    });
    draw(canvas, traces, { xaxis: axis("trials ended", { rangemode: "tozero" }), yaxis: axis(safe(shorten(withUnit(m), 40)), { type: m.wide ? "log" : "linear" }) }, height, true);
  }
  const steps = (arm, a, x, y, m) => ({
    type: "scatter", mode: "lines", name: safe(shorten(arm.name, 30)), x, y, legendgroup: `arm${a}`,
    line: { color: arm.colour, width: 2.4, shape: "hv", dash: a % 2 ? "dash" : "solid" },
    hovertemplate: `${safe(shorten(arm.name, 30))}: %{y:.5g} ${safe(shorten(m.unit, 30))} after %{x} trials<extra></extra>`,
  });
  function progress() {
    const parent = byId("progress-plots");
    if (!anyScored) return nothing(parent, "No trial was scored yet.");
    if (data.objectives.length > 1) data.objectives.forEach((_, k) => progressPlot(parent, k));
    const unit = data.volumeUnit, { canvas } = panel(parent, `Hypervolume [${shorten(unit, 50)}]`, "of the feasible trials; higher is better; the reference point stands below the table of arms");
    draw(canvas, data.arms.map((arm, a) => steps(arm, a, [0, ...arm.history.map((_, i) => i + 1)], [0, ...arm.history], { unit })),
      { xaxis: axis("trials ended", { rangemode: "tozero" }), yaxis: axis(safe(`hypervolume [${shorten(unit, 30)}]`), { rangemode: "tozero" }) }, 380);
    return undefined;
  }
  function importance() {
    const parent = byId("importance-plots");
    if (!data.importance.length) return nothing(parent, "There is nothing to analyse.");
    for (const entry of data.importance) {
      const facts = entry.shares.length ? `${entry.trials} trials, of which the best ${entry.best} count as good. ${entry.note}` : entry.note;
      const { canvas } = panel(parent, `For ${shorten(entry.objective, 50)}`, facts);
      if (!entry.shares.length) continue;
      const rows = entry.shares.slice().reverse();
      draw(canvas, [{
        type: "bar", orientation: "h", x: rows.map((r) => r[1]), y: rows.map((_, i) => i),
        marker: { color: rows.map((r) => (r[1] > entry.chance ? "#0072B2" : "#c3ced9")) },
        customdata: rows.map((r) => safe(r[0])),
        hovertemplate: "%{customdata}: %{x:.1f} %<extra></extra>",
      }], {
        margin: { l: 60, r: 20, t: 26, b: 50 }, bargap: 0.35, showlegend: false,
        xaxis: axis("share of importance [%]", { rangemode: "tozero" }),
        yaxis: axis("", { tickvals: rows.map((_, i) => i), ticktext: rows.map((r) => safe(shorten(r[0], 34)) + "  "), ticks: "", showgrid: false }),
        shapes: [{ type: "line", x0: entry.chance, x1: entry.chance, yref: "paper", y0: 0, y1: 1, line: { color: "#d55e00", width: 1.5, dash: "dot" } }],
        annotations: [{ x: entry.chance, yref: "paper", y: 1, yanchor: "bottom", text: "chance", showarrow: false, font: { size: 12, color: "#a84a00" } }],
      }, 90 + 26 * rows.length);
      if (entry.left) canvas.after(el("p", { class: "hint", text: `${entry.left} further parameters are not drawn.` }));
    }
    return undefined;
  }

  // --- the selected trial ------------------------------------------------------------------
  function box(site, operator, changed, width) {
    const [name, original, elements, shapeIn, shapeOut, isSearched] = site;
    const style = data.operators[operator] || { colour: "#E4E7EB", ink: "#102A43", short: operator.slice(0, 5) };
    const told = [name, changed ? `${original} replaced by ${operator}` : operator];
    if (elements) told.push(`${num(elements)} elements, ${shapeIn}${shapeOut !== shapeIn ? ` to ${shapeOut}` : ""}`);
    return el("div", {
      class: `box${isSearched ? "" : " fixed"}${changed ? " changed" : ""}`, title: told.join("\n"), role: "img", "aria-label": told.join(", "),
      text: width >= 7.5 * style.short.length + 4 ? style.short : "", style: { width: `${width}px`, background: style.colour, color: style.ink },
    });
  }
  function widths(room) {
    const least = data.sites.map((s) => (s[5] ? 34 : 12)), gap = 3;
    const base = least.reduce((sum, w) => sum + w + gap, 0);
    const total = data.sites.reduce((sum, s) => sum + s[2], 0);
    const rows = Math.max(1, Math.ceil((base * 1.4) / room));
    const scale = total ? Math.max(0, rows * room * 0.97 - base) / total : 0;
    return data.sites.map((s, i) => Math.floor(least[i] + Math.min(scale * s[2], 0.3 * room)));
  }
  function strip(detail, label) {
    const parent = byId("strip");
    parent.replaceChildren();
    if (!data.sites.length) return parent.append(el("p", { class: "empty", text: "The study says nothing about a network's sites." }));
    if (!detail || !detail.plan.length) return parent.append(el("p", { class: "empty", text: "This trial has no network to show." }));
    const width = widths(parent.clientWidth || 1100), used = new Set();
    const row = (title, hint, pick) => {
      parent.append(el("div", { class: "row-title", text: `${title} ` }, [el("span", { text: hint })]));
      parent.append(el("div", { class: "boxes" }, data.sites.map((site, i) => {
        const [operator, changed] = pick(site, detail.plan[i]);
        used.add(operator);
        return box(site, operator, changed, width[i]);
      })));
    };
    row(label, "in execution order, from left to right", (site, own) => own || [site[1], 0]);
    if (data.sites.some((s) => s[1])) row("Original network", "", (site) => [site[1], 0]);
    const looks = new Map();  // a choice and the same operator in the original share a look
    for (const name of [...used].filter(Boolean)) {
      const { colour, short } = data.operators[name] || { colour: "#E4E7EB", short: name };
      if (!looks.has(colour + short)) looks.set(colour + short, [name, colour]);
    }
    const legend = [...looks.values()].map(([name, colour]) => el("span", {}, [el("i", { style: { background: colour } }), shorten(name, 40)]));
    const sized = data.sites.some((s) => s[2]) ? "Width grows with the number of elements; low boxes are fixed; a dark foot marks a replaced operator." : "Shapes are unknown, so all boxes are equally wide.";
    parent.append(el("div", { class: "legend" }, [...legend, el("span", { text: sized })]));
    return undefined;
  }
  const rowsOf = (head, rows) => el("div", { class: "scroll" }, [el("table", {}, [
    ...(head ? [el("thead", {}, [el("tr", {}, head.map((h) => el("th", { scope: "col", text: h })))])] : []),
    el("tbody", {}, rows.map((r) => el("tr", {}, r.map((c) => el("td", {}, [c]))))),
  ])]);
  function details(arm, i, detail) {
    const parent = byId("details");
    parent.replaceChildren();
    const state = [["status", badge(arm.status[i])]];
    if (arm.status[i] === "complete") state.push(["constraints", badge(arm.feasible[i] ? "kept" : "violated")], ["front", arm.front[i] ? "yes" : "no"]);
    if (!detail) {
      parent.append(el("div", { class: "facts" }, [el("div", {}, [rowsOf(null, state), el("p", { class: "note", text: "Of a study this large the page holds details of some trials only; all are in report.json and trials.csv." })])]));
      return;
    }
    const left = el("div", {}, [el("h3", { text: "Metrics" })]);
    left.append(detail.measurements.length ? rowsOf(["metric", "value", "evidence", "rung", "split"], detail.measurements.map(([name, value, unit, evidence, rung, split, low, high]) => {
      const shown = el("span", { text: `${num(value)} ${unitOf(unit)}` });
      if (low !== null && high !== null) shown.append(el("span", { class: "range", text: `${num(low, Number.isInteger(value))} to ${num(high, Number.isInteger(value))} (95 %)` }));
      return [name, shown, badge(evidence), rung, split === "test" ? "test (reported once)" : split || "–"];
    })) : el("p", { class: "empty", text: "Nothing was measured." }));
    if (detail.error) state.push(["error", detail.error]);
    for (const [name, value, unit] of detail.excess) state.push([`excess of ${name}`, `${num(value)} ${unit}`]);
    state.push(["origin", detail.origin], ["seed", String(detail.seed)]);
    if (arm.seconds[i] !== null) state.push(["worker seconds", `${num(arm.seconds[i])} s (${detail.rungs.map(([name, s]) => `${name} ${num(s)} s`).join(", ") || "no rung"})`]);
    for (const [name, value] of detail.notes) state.push([name, value]);
    const right = el("div", {}, [el("h3", { text: "Parameters" }), rowsOf(null, detail.params), el("h3", { text: "Trial", style: { marginTop: "16px" } }), rowsOf(null, state)]);
    parent.append(el("div", { class: "facts" }, [left, right]));
  }
  let current = null;
  function select(a, number, scroll = false) {
    const arm = data.arms[a], i = arm.number.indexOf(number);
    if (i < 0) return;
    current = [a, number];
    const pick = byId("pick"), key = `${a}:${number}`;
    if (![...pick.options].some((o) => o.value === key)) pick.append(el("option", { value: key, text: optionText(a, i) }));
    pick.value = key;
    const detail = arm.details[number];
    strip(detail, `${arm.name}, trial ${number}`);
    details(arm, i, detail);
    document.querySelectorAll("tr.pickable").forEach((row) => row.classList.toggle("chosen", row.dataset.key === key));
    if (scroll) byId("trial").scrollIntoView({ behavior: "smooth", block: "nearest" });
  }
  function optionText(a, i) {
    const arm = data.arms[a];
    const values = data.objectives.map((m, k) => `${valueOf(m, arm, k, i)} ${unitOf(m.unit)}`.trim()).join(", ");
    return `${shorten(arm.name, 24)}, trial ${arm.number[i]}${arm.front[i] ? " (front)" : ""}: ${scored(arm, i) ? shorten(values, 60) : arm.status[i]}`;
  }
  function picker() {
    const pick = byId("pick"), groups = [["Fronts", (m, i) => m.front[i]], ["Other trials", (m, i) => !m.front[i] && m.details[m.number[i]]]];
    for (const [title, keep] of groups) {
      const group = el("optgroup", { label: title });
      data.arms.forEach((arm, a) => arm.number.forEach((n, i) => {
        if (keep(arm, i) && group.childElementCount < 1500) group.append(el("option", { value: `${a}:${n}`, text: optionText(a, i) }));
      }));
      if (group.childElementCount) pick.append(group);
    }
    pick.addEventListener("change", () => { const [a, n] = pick.value.split(":").map(Number); select(a, n); });
    document.querySelectorAll("table[data-arm]").forEach((table) => {
      const a = data.arms.findIndex((arm) => arm.name === table.dataset.arm);
      table.querySelectorAll("tbody tr").forEach((row) => makePickable(row, a, Number(row.cells[0].dataset.v)));
    });
    const first = data.arms.flatMap((arm, a) => arm.number.map((n, i) => [a, n, arm.front[i]])).sort((p, q) => q[2] - p[2]);
    if (!first.length) { pick.disabled = true; byId("strip").append(el("p", { class: "empty", text: "There are no trials yet." })); return; }
    const ours = first.filter((t) => t[0] === first[0][0] && t[2] === first[0][2]);
    const middle = first[0][2] ? ours[Math.floor(ours.length / 2)] : ours[0];
    select(middle[0], middle[1]);
  }
  function makePickable(row, a, n) {
    row.classList.add("pickable");
    row.dataset.key = `${a}:${n}`;
    row.addEventListener("click", () => select(a, n, true));
  }

  // --- tables ------------------------------------------------------------------------------
  const compare = (p, q) => (typeof p === "number" && typeof q === "number" ? p - q : String(p).localeCompare(String(q), "en", { numeric: true }));
  function sortKeys(heads, apply) {
    heads.forEach((head, column) => {
      const go = () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((h) => h.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        apply(column, down ? -1 : 1);
      };
      head.tabIndex = 0;
      head.addEventListener("click", go);
      head.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); go(); } });
    });
  }
  function staticTables() {
    document.querySelectorAll(".card.table table").forEach((table) => {
      sortKeys([...table.querySelectorAll("th")], (column, way) => {
        const key = (row) => { const cell = row.cells[column]; return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v); };
        const body = table.tBodies[0];
        body.append(...[...body.rows].sort((p, q) => {
          const gone = (k) => k === "–";
          const [x, y] = [key(p), key(q)];
          return gone(x) || gone(y) ? gone(x) - gone(y) : way * compare(x, y);
        }));
      });
    });
  }
  function trialsTable() {
    const parent = byId("trials-table"), size = 50;
    const columns = ["arm", "trial", "status", "feasible", ...data.objectives.map(withUnit), "operators", "seconds [s]"];
    let rows = data.arms.flatMap((arm, a) => arm.number.map((n, i) => ({
      a, n, cells: [arm.name, n, arm.status[i], arm.status[i] === "complete" ? (arm.feasible[i] ? "yes" : "no") : "",
        ...data.objectives.map((_, k) => arm.values[k][i]), arm.summary[i], arm.seconds[i]],
    })));
    if (!rows.length) return parent.append(el("p", { class: "empty", text: "There are no trials yet." }));
    const all = rows;
    let page = 0;
    const heads = columns.map((c, k) => el("th", { scope: "col", "data-sortable": "", text: c, class: typeof all[0].cells[k] === "number" || (k > 3 && k < columns.length - 2) || k === columns.length - 1 ? "number" : "" }));
    data.objectives.forEach((m, k) => heads[4 + k].append(" ", badge(m.evidence)));
    const body = el("tbody"), told = el("span");
    const back = el("button", { type: "button", text: "Previous", onclick: () => { page -= 1; show(); } });
    const next = el("button", { type: "button", text: "Next", onclick: () => { page += 1; show(); } });
    function show() {
      const last = Math.max(0, Math.ceil(rows.length / size) - 1);
      page = Math.min(Math.max(page, 0), last);
      body.replaceChildren(...rows.slice(page * size, (page + 1) * size).map(({ a, n, cells }) => {
        const row = el("tr", {}, cells.map((c, k) => el("td", { class: heads[k].className }, [
          k === 2 ? badge(c) : typeof c === "number" && k !== 1 ? num(c, (data.objectives[k - 4] || {}).whole) : c === null || c === "" ? "–" : String(c)])));
        makePickable(row, a, n);
        if (current && current[0] === a && current[1] === n) row.classList.add("chosen");
        return row;
      }));
      told.textContent = rows.length ? `${page * size + 1} to ${Math.min(rows.length, (page + 1) * size)} of ${rows.length.toLocaleString("en")} trials` : "No trial matches.";
      back.disabled = page === 0;
      next.disabled = page === last;
    }
    let words = [], sorting = null;
    function arrange() {
      const gone = (v) => v === null || v === "";
      rows = all.filter(({ cells }) => { const text = cells.join(" ").toLowerCase(); return words.every((w) => text.includes(w)); });
      if (sorting) {
        const [column, way] = sorting;
        rows.sort((p, q) => {
          const [x, y] = [p.cells[column], q.cells[column]];
          return gone(x) || gone(y) ? gone(x) - gone(y) : way * compare(x, y);
        });
      }
      page = 0;
      show();
    }
    sortKeys(heads, (column, way) => { sorting = [column, way]; arrange(); });
    byId("find").addEventListener("input", (event) => {
      words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      arrange();
    });
    parent.append(el("div", { class: "scroll" }, [el("table", {}, [el("thead", {}, [el("tr", {}, heads)]), body])]));
    parent.append(el("div", { class: "pager" }, [back, next, told, el("span", { text: "Every metric and parameter of every trial is in trials.csv." })]));
    show();
    return undefined;
  }

  // One part that breaks must not take the others with it, and must say so.
  const parts = { "front-plots": fronts, strip: picker, "progress-plots": progress, "importance-plots": importance, "trials-table": trialsTable, arms: staticTables };
  let broken = 0;
  for (const [place, part] of Object.entries(parts)) {
    try {
      part();
      while (queue.length) queue.shift()();
    } catch (error) {
      broken += 1;
      byId(place).append(el("p", { class: "message", text: `This part could not be drawn: ${error.message}` }));
    }
  }
  let waiting = 0;
  window.addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => current && select(...current), 150); });
  document.documentElement.dataset.report = broken ? "broken" : "ready";
})();
