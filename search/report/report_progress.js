// Progress and importance. Part of the report's script; see report.js.
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
