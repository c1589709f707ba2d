// The selected trial: strip, details, choice. Part of the report's script; see report.js.
const styleOf = (operator) => data.operators[operator] || { colour: "#E4E7EB", ink: "#102A43", short: operator.slice(0, 5) };
function masked(operator, kept, elements) {  // a masked site shows how much of it stays ReLU
  const [first, second] = operator.split("/").map(styleOf);
  const share = 100 * kept / elements, stop = `${Math.max(2, share).toFixed(1)}%`;
  const short = share < 9.95 ? `${share.toFixed(1)}%` : `${share.toFixed(0)}%`;
  return { short, ink: share < 50 ? second.ink : first.ink, colour: `linear-gradient(90deg, ${first.colour} ${stop}, ${second.colour} ${stop})` };
}
function box(site, operator, changed, width, kept) {
  const [name, original, elements, shapeIn, shapeOut, isSearched] = site;
  const style = kept && elements ? masked(operator, kept, elements) : styleOf(operator);
  const told = [name, changed && !kept ? `${original} replaced by ${operator}` : operator];
  if (kept) told.push(`${num(kept)} elements stay ${operator.split("/")[0]}`);
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
  if (detail && detail.ckks) return chainStrip(parent, detail.ckks, label);
  if (!data.sites.length) return parent.append(el("p", { class: "empty", text: "The study says nothing about a network's sites." }));
  if (!detail || !detail.plan.length) return parent.append(el("p", { class: "empty", text: "This trial has no network to show." }));
  const width = widths(parent.clientWidth || 1100), used = new Set();
  const row = (title, hint, pick) => {
    parent.append(el("div", { class: "row-title", text: `${title} ` }, [el("span", { text: hint })]));
    parent.append(el("div", { class: "boxes" }, data.sites.map((site, i) => {
      const [operator, changed, kept] = pick(site, detail.plan[i]);
      operator.split("/").forEach((part) => used.add(part));
      return box(site, operator, changed, width[i], kept);
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
