/* What JavaScript makes smoother: keys, the chart, news of the queue. Every page works without it. */
(() => {
  "use strict";

  // -- keys: each is also a link or a button of the page
  const rows = () => [...document.querySelectorAll("[data-list] [data-row]")];
  const step = (by) => {
    const all = rows();
    if (!all.length) return;
    const now = all.indexOf(document.activeElement);
    const next = now < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, now + by));
    all[next].focus();
  };
  const writes = (element) => element.closest("input, select, textarea, [contenteditable]");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || writes(event.target)) return;
    if (event.key === "j" || event.key === "k") return step(event.key === "j" ? 1 : -1);
    if (event.key === "?") return document.getElementById("help")?.togglePopover();
    const wanted = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (!wanted) return;
    event.preventDefault();
    if (wanted.matches("a")) wanted.click();
    else wanted.focus();
  });

  // -- one click, one send: the server takes a second one for the first, this only calms the eye
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (event.target.method !== "post" || !button) return;
    setTimeout(() => { button.disabled = true; }, 0);
    setTimeout(() => { button.disabled = false; }, 4000);
  });

  // -- the chart is drawn from the table, which stays for those who read it
  const colour = (name) => {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  let drawn = null;
  const draw = () => {
    const box = document.getElementById("chart");
    const table = box && document.getElementById(box.dataset.chart);
    if (!table || !window.uPlot) return;
    const lines = [...table.tBodies[0].rows].reverse();
    const column = (place) => lines.map((line) => Number(line.cells[place].dataset.value));
    const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    const [ink, muted, line, accent] = ["--ink", "--muted", "--line", "--accent"].map(colour);
    const axis = { stroke: muted, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui, sans-serif" };
    const bars = uPlot.paths.bars({ size: [0.6, 24] });
    box.hidden = false;
    drawn?.destroy();
    drawn = new uPlot({
      width: box.clientWidth,
      height: 260,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "UTC"),
      cursor: { y: false },
      scales: { x: { time: true, range: (u, low, high) => [low - 43200, high + 43200] }, y: { range: (u, low, high) => [0, high > 0 ? high * 1.1 : 1] }, n: { range: (u, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [
        { ...axis, values: (u, all) => all.map((at) => new Date(at * 1000).toISOString().slice(5, 10)) },
        { ...axis, scale: "y", size: 70 },
        { ...axis, scale: "n", side: 1, grid: { show: false }, size: 40 },
      ],
      series: [
        { label: "Day", value: (u, at) => at == null ? "–" : new Date(at * 1000).toISOString().slice(0, 10) },
        { label: heads[2], scale: "y", stroke: accent, fill: accent + "", width: 0, paths: bars, points: { show: false }, value: (u, v) => v == null ? "–" : v.toLocaleString("en") },
        { label: heads[1], scale: "n", stroke: ink, width: 1.5, points: { size: 4 }, value: (u, v) => v == null ? "–" : String(v) },
      ],
    }, [lines.map((row) => Number(row.dataset.at)), column(2), column(1)], box);
  };
  addEventListener("load", draw);
  addEventListener("resize", () => { clearTimeout(draw.later); draw.later = setTimeout(draw, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  // -- the editor's line numbers follow what is typed
  const paper = document.querySelector(".paper textarea");
  if (paper) {
    const gutter = paper.previousElementSibling;
    const count = () => {
      const lines = paper.value.split("\n").length + 1;
      if (lines === paper.rows) return;
      paper.rows = lines;
      gutter.textContent = Array.from({ length: lines }, (_, n) => n + 1).join("\n");
    };
    paper.addEventListener("input", count);
  }

  // -- the queue, as it changes
  const list = document.querySelector("[data-live]");
  if (list && window.EventSource) {
    let mark = list.dataset.mark;
    const events = new EventSource(list.dataset.live);
    events.addEventListener("queue", (event) => {
      if (!event.data || event.data === mark) return;
      mark = event.data;
      const focused = document.activeElement?.getAttribute("href");
      const ticked = [...list.querySelectorAll("[type=checkbox]:checked")].map((box) => [box.name, box.value]);
      htmx.ajax("GET", location.pathname + location.search, { target: "#list", select: "#list > *", swap: "innerHTML", headers: { "X-By-Itself": "1" } }).then(() => {
        // what was ticked stays so if it is still what was shown
        for (const [name, value] of ticked) {
          const box = [...list.querySelectorAll("[type=checkbox]")].find((one) => one.name === name && one.value === value);
          if (box) box.checked = true;
        }
        if (focused) [...document.querySelectorAll("#list [data-row]")].find((a) => a.getAttribute("href") === focused)?.focus();
      });
    });
    events.addEventListener("open", () => { document.getElementById("live").hidden = false; });
    events.addEventListener("error", () => { document.getElementById("live").hidden = true; });
    addEventListener("pagehide", () => events.close());
  }
})();
