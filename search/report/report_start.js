// Starts every part. Part of the report's script; see report.js.
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
