// Plots in general, and the fronts. Part of the report's script; see report.js.
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
