// Draws each chart from the table below it: what is drawn is what stands there, and nothing else.
"use strict";

(() => {
  const DASHES = [[], [8, 4], [2, 3], [12, 4, 2, 4], [4, 2], [1, 5]];
  const POINTS = ["circle", "rect", "triangle", "rectRot", "cross", "star"];
  const COLOURS = {
    light: ["#0b4f82", "#b3420c", "#2f6f43", "#6a3d9a", "#7a5c00", "#a3125b"],
    dark: ["#9accf7", "#ffb38a", "#9be0b0", "#d3b6f2", "#f2d879", "#ff9fc8"],
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map();

  const said = (kind, value) => (kind === "share" ? `${Math.round(value * 1000) / 10} %` : String(value));

  function draw(canvas) {
    const table = document.getElementById(canvas.dataset.of);
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies[0].rows].filter((row) => row.cells.length === heads.length);
    const wanted = heads.map((head, at) => [head, at]).filter(([head]) => head.dataset.drawn);
    const line = canvas.dataset.kind === "line";
    const colours = COLOURS[dark.matches ? "dark" : "light"];
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim();
    const grid = style.getPropertyValue("--line").trim();
    const sets = wanted.map(([head, at], index) => ({
      label: head.textContent,
      kind: head.dataset.drawn,
      yAxisID: head.dataset.drawn,
      data: rows.map((row) => {
        const { value } = row.cells[at].dataset; // what is hidden or empty has none, and leaves a gap
        return value === undefined ? null : Number(value);
      }),
      borderColor: colours[index % colours.length],
      backgroundColor: colours[index % colours.length],
      borderDash: line ? DASHES[index % DASHES.length] : [],
      pointStyle: POINTS[index % POINTS.length],
      pointRadius: 4,
      maxBarThickness: 56,
      spanGaps: false,
    }));
    // One bar or one point tells nothing that its table does not.
    if (sets.flatMap((set) => set.data).filter((value) => value).length < 2) return;
    const kinds = [...new Set(sets.map((set) => set.kind))];
    const axes = Object.fromEntries(kinds.map((kind, at) => [kind, {
      position: at === 0 ? "left" : "right",
      min: 0,
      ...(kind === "share" ? { max: 1 } : {}),
      ...(kind === "score" ? { max: 5 } : {}),
      ticks: { color: ink, callback: (value) => said(kind, value) },
      grid: { color: grid, drawOnChartArea: at === 0 },
    }]));
    canvas.parentElement.hidden = false;
    drawn.get(canvas)?.destroy();
    drawn.set(canvas, new Chart(canvas, {
      type: line ? "line" : "bar",
      data: { labels: rows.map((row) => row.cells[0].textContent), datasets: sets },
      options: {
        animation: false,
        maintainAspectRatio: false,
        interaction: { mode: "index", intersect: false },
        scales: { x: { ticks: { color: ink }, grid: { color: grid } }, ...axes },
        plugins: {
          legend: { display: sets.length > 1, labels: { color: ink, usePointStyle: line } },
          tooltip: {
            callbacks: { label: (item) => `${item.dataset.label}: ${said(item.dataset.kind, item.raw)}` },
          },
        },
      },
    }));
  }

  const all = () => document.querySelectorAll("canvas[data-of]").forEach(draw);
  dark.addEventListener("change", all);
  all();
})();
