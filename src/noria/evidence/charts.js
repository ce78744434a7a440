// Draws the line charts of a page by uPlot, from the JSON in each figure; the SVG there is what is seen without scripts.
"use strict";
(() => {
  const ZONE = "UTC", DAY = 86400, NEAR = 6; // NEAR: pixels from a mark within which it is told
  const color = style => getComputedStyle(document.documentElement).getPropertyValue(`--${style}`).trim() || "gray";
  const see = (style, share) => `color-mix(in srgb, ${color(style)} ${share * 100}%, transparent)`;

  const dated = (x, minutes) => new Date(x * 1000).toLocaleString("en-GB", {
    timeZone: ZONE, day: "numeric", month: "short", year: "numeric", ...(minutes ? {hour: "2-digit", minute: "2-digit"} : {}),
  }) + (minutes ? ` ${ZONE}` : "");
  const number = v => Math.abs(v) >= 1000 ? Math.round(v).toLocaleString("en") : String(Number(v.toPrecision(4)));
  const times = v => { // v: log10 of evidence divided by its threshold
    if (v >= 3) return "over 1,000 times the threshold";
    if (v >= 0) return `${v >= 1 ? Math.round(10 ** v) : (10 ** v).toFixed(1)} times the threshold`;
    return v < -2 ? "under 1% of the threshold" : `${Math.round(100 * 10 ** v)}% of the threshold`;
  };
  const ofPower = v => !Number.isInteger(v) ? "" : v >= 0 ? `${(10 ** v).toLocaleString("en")} ×` : `${Number((100 * 10 ** v).toPrecision(1))}%`;

  const alone = values => { // a value between two gaps, of which no line is seen
    const found = values.flatMap((v, i) => v != null && values[i - 1] == null && values[i + 1] == null ? [i] : []);
    return found.length ? found : null;
  };
  const moments = told => Array.isArray(told) ? told : Array.from({length: told.count}, (_, i) => told.first + i * told.step);
  const everywhere = (values, count) => Array.isArray(values) ? values : new Array(count).fill(values);

  function drawMarks(u, marks) {
    const {ctx} = u, {left, top, width, height} = u.bbox, ratio = devicePixelRatio;
    let free = -Infinity;
    ctx.save();
    ctx.font = `${12 * ratio}px system-ui, sans-serif`;
    ctx.textAlign = "center";
    for (const mark of marks) {
      const x = u.valToPos(mark.at, "x", true);
      if (x < left || x > left + width) continue;
      ctx.strokeStyle = color(mark.style);
      ctx.setLineDash([3 * ratio, 3 * ratio]);
      ctx.lineWidth = 1.3 * ratio;
      ctx.beginPath();
      ctx.moveTo(x, top);
      ctx.lineTo(x, top + height);
      ctx.stroke();
      const half = ctx.measureText(mark.caption).width / 2, middle = Math.min(Math.max(x, half), u.ctx.canvas.width - half);
      if (middle - half < free) continue;
      ctx.fillStyle = color("dim");
      ctx.fillText(mark.caption, middle, top - 6 * ratio);
      free = middle + half + 8 * ratio;
    }
    ctx.restore();
  }

  function series(chart, minutes) {
    const show = v => v == null ? "–" : chart.scale === "times" ? times(v) : `${number(v)}${chart.unit ? ` ${chart.unit}` : ""}`;
    const found = [{label: "", value: (u, x) => x == null ? "–" : dated(x, minutes), class: "when"}];
    for (const band of chart.bands) {
      const between = (u, high, at, i) => high == null ? "–" : `${show(u.data[at + 1][i])} to ${show(high)}`;
      found.push({label: band.name, value: between, stroke: () => see(band.style, 0.4), width: 0, points: {show: false}});
      found.push({label: "", class: "partner", width: 0, points: {show: false}});
    }
    for (const line of chart.lines) {
      found.push({
        label: line.name, value: (u, v) => chart.scale === "times" && !Array.isArray(line.values) ? "at 1 ×" : show(v), stroke: () => color(line.style),
        width: line.style === "loop" ? 2.2 : 1.6, dash: line.style === "bad" ? [5, 4] : undefined,
        points: {show: false, size: 4, filter: (u, i) => alone(u.data[i])},
      });
    }
    return found;
  }

  function axes(chart) {
    const own = {stroke: () => color("dim"), grid: {stroke: () => color("rule"), width: 1}, ticks: {show: false}, font: "12px system-ui, sans-serif"};
    const wide = (u, told) => 16 + 6.5 * Math.max(3, ...(told ?? []).map(text => text.length));
    const year = "\n{YYYY}", day = "\n{D} {MMM} {YYYY}";
    return [
      {...own, space: 64, values: [
        [365 * DAY, "{YYYY}", null, null, null, null, null, null, 1],
        [28 * DAY, "{MMM}", year, null, null, null, null, null, 1],
        [DAY, "{D} {MMM}", year, null, null, null, null, null, 1],
        [3600, "{HH}:{mm}", day, null, "\n{D} {MMM}", null, null, null, 1],
        [60, "{HH}:{mm}", day, null, "\n{D} {MMM}", null, null, null, 1],
        [1, "{HH}:{mm}:{ss}", day, null, "\n{D} {MMM}", null, null, null, 1],
      ]},
      {...own, size: wide, values: (u, told) => told.map(chart.scale === "times" ? ofPower : number)},
    ];
  }

  function build(figure) {
    const chart = JSON.parse(figure.querySelector("script").textContent);
    const x = moments(chart.x), minutes = x.some(at => at % DAY), columns = [];
    for (const band of chart.bands) columns.push(band.high, band.low);
    for (const line of chart.lines) columns.push(everywhere(line.values, x.length));
    const flat = new Set(chart.lines.flatMap((line, i) => Array.isArray(line.values) ? [] : [1 + 2 * chart.bands.length + i]));
    const note = document.createElement("p");
    note.className = "note dim";
    const newest = u => u.setLegend({idx: u.data[0].length - 1}, false);
    const pointed = u => {
      const near = chart.marks.filter(m => u.cursor.left >= 0 && Math.abs(u.valToPos(m.at, "x") - u.cursor.left) < NEAR);
      note.textContent = near.map(m => m.title).join("; ") || (u.cursor.idx == null ? "" : "Drag to zoom in; double-click to see all.");
      if (u.cursor.idx == null) newest(u);
    };
    const plot = new uPlot({
      width: figure.clientWidth, height: chart.height, padding: [chart.marks.length ? 20 : 8, 12, 0, 0],
      tzDate: at => uPlot.tzDate(new Date(at * 1000), ZONE),
      series: series(chart, minutes), axes: axes(chart),
      bands: chart.bands.map((band, i) => ({series: [2 * i + 1, 2 * i + 2], fill: () => see(band.style, 0.18)})),
      scales: {x: x.length > 1 ? {} : {range: [x[0] - DAY, x[0] + DAY]}},
      cursor: {sync: {key: "page", scales: ["x", null]}, drag: {x: true, y: false}, y: false, points: {size: (u, i) => flat.has(i) ? 0 : 7}},
      hooks: {draw: [u => drawMarks(u, chart.marks)], setCursor: [pointed], ready: [newest]},
    }, [x, ...columns], figure);
    figure.append(note);
    figure.classList.add("live");
    return {figure, plot, remove: () => { plot.destroy(); note.remove(); }};
  }

  let shown = [...document.querySelectorAll("figure.chart")].map(build);
  new ResizeObserver(() => shown.forEach(({figure, plot}) => {
    if (figure.clientWidth !== plot.width) plot.setSize({width: figure.clientWidth, height: plot.height});
  })).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    shown = shown.map(each => {
      const {min, max} = each.plot.scales.x;
      each.remove();
      const anew = build(each.figure);
      anew.plot.setScale("x", {min, max});
      return anew;
    });
  });
})();
