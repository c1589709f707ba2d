// Builds the interactive parts of the report from the data in #report-data: first of the files
// that search/report/html.py joins into one strict function. Elements are made with text only; no
// string of a study is ever read as markup.
const data = JSON.parse(document.getElementById("report-data").textContent);
const INK = "#334e68", GRID = "#e4e9ef", FONT = getComputedStyle(document.body).fontFamily;
const byId = (id) => document.getElementById(id);

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
