// The modulus chain of a CKKS trial, and where its time and its bits go. Part of the report's
// script; see report.js.
const LAYER_COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6BB1", "#6B8E23"];
const CLIENT_COLOUR = "#9AA5B1", KEPT_COLOUR = "#334E68", SWITCH_COLOUR = "#E4E7EB";
const inkOn = (colour) => {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.3 ? "#102A43" : "#FFFFFF";
};
function layerColours(layers) {
  const servers = layers.filter((layer) => layer.place === "server");
  return new Map(layers.map((layer) => [layer.name, layer.place === "server" ? LAYER_COLOURS[servers.indexOf(layer) % LAYER_COLOURS.length] : CLIENT_COLOUR]));
}
function primeBox(prime, colours, perBit) {
  const told = { "key switching": "P, for key switching", kept: "q0, kept for the result", spare: "spare, no layer needs it", level: prime.layer ? `dropped by ${prime.layer}` : "dropped by a layer" }[prime.role];
  const name = { "key switching": "P", kept: "q0", spare: "spare", level: prime.layer }[prime.role];
  const colour = { "key switching": SWITCH_COLOUR, kept: KEPT_COLOUR, spare: "#FFFFFF" }[prime.role] || colours.get(prime.layer) || CLIENT_COLOUR;
  const lines = [`${prime.bits} bit: ${told}`, ...(prime.scale === null ? [] : [`its result has a scale of ${num(prime.scale)} bit`])];
  return el("div", { class: "prime", title: lines.join("\n"), role: "img", "aria-label": lines.join(", "), style: { flex: `0 0 ${Math.floor(prime.bits * perBit)}px` } }, [
    el("div", { class: "bits", text: String(prime.bits), style: { background: colour, color: inkOn(colour) } }),
    el("div", { class: "user", text: shorten(name, 18) }),
  ]);
}
function shareBar(title, kind, total, layers, colours, value, tell) {
  const sum = layers.reduce((all, layer) => all + value(layer), 0);
  if (!(sum > 0)) return [];
  const parts = layers.filter((layer) => value(layer) > 0).map((layer) => {
    const share = (100 * value(layer)) / sum, colour = colours.get(layer.name);
    return el("div", { title: `${layer.name}: ${tell(layer)} (${share.toFixed(1)} %)`, role: "img", "aria-label": `${layer.name} ${share.toFixed(1)} %`,
      text: share > 12 ? `${shorten(layer.name, 14)} ${share.toFixed(0)} %` : share > 4 ? `${share.toFixed(0)} %` : "", style: { flex: `${share} 1 0`, background: colour, color: inkOn(colour) } });
  });
  return [el("div", { class: "share-title" }, [`${title} `, badge(kind), el("span", { text: total(sum) })]), el("div", { class: "share" }, parts)];
}
function chainStrip(parent, ckks, label) {
  const colours = layerColours(ckks.layers), sizes = ckks.primes.map((p) => p.bits);
  // As wide as one row allows, within bounds; long chains take several rows of the same measure.
  const room = (parent.clientWidth || 1100) - 4 * sizes.length, whole = sizes.reduce((sum, bits) => sum + bits, 0);
  const perBit = Math.max(44 / Math.min(...sizes), Math.min(170 / Math.max(...sizes), room / whole));
  const secret = ckks.secret_weight === null ? "dense secret" : `secret of weight ${ckks.secret_weight}`;
  parent.append(el("div", { class: "row-title", text: `${label}: modulus chain ` }, [
    el("span", { text: `in bits, in the order of use from left to right; N = 2^${ckks.log_n}, scale ${ckks.scale} bit, log2 QP ${ckks.log_qp} bit, ${secret}, the client sends ${ckks.packing}` })]));
  parent.append(el("div", { class: "primes" }, ckks.primes.map((prime) => primeBox(prime, colours, perBit))));
  const all = (key) => ckks.layers.length > 0 && ckks.layers.every((layer) => layer[key] !== null);
  const ms = (sum) => `${num(sum)} ms`;
  const bars = [];
  if (all("predicted_ms")) bars.push(...shareBar("CPU time, predicted", "model", ms, ckks.layers, colours, (l) => l.predicted_ms, (l) => `${num(l.predicted_ms)} ms`));
  if (all("cpu_ms")) bars.push(...shareBar("CPU time", "measured", ms, ckks.layers, colours, (l) => l.cpu_ms, (l) => `${num(l.cpu_ms)} ms`));
  if (all("error_share")) bars.push(...shareBar("Error of the encryption, by where it arises", "model", () => "share of the variance at the output", ckks.layers, colours, (l) => l.error_share, () => "of the variance"));
  if (!bars.length) return parent.append(el("p", { class: "hint", text: "The trial ended before its prediction, so nothing is known layer by layer." }));
  parent.append(...bars);
  const client = ckks.layers.filter((l) => l.place !== "server").map((l) => l.name);
  const looks = ckks.layers.filter((l) => l.place === "server").map((l) => [l.name, colours.get(l.name)]);
  if (client.length) looks.push([`client: ${client.join(", ")}`, CLIENT_COLOUR]);
  parent.append(el("div", { class: "legend" }, looks.map(([name, colour]) => el("span", {}, [el("i", { style: { background: colour } }), shorten(name, 40)]))));
  return undefined;
}
