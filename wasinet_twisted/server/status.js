
"use strict";
(() => {
  // All times are in seconds.
  const KEPT = 300, PERIOD = 1, PATIENCE = 3, RECENT = 10, MINUTE = 60;
  // Samples further apart than this are not joined by a line: nobody knows what was between.
  const GAP = 4;
  const NONE = "–";

  const byId = (id) => document.getElementById(id);

  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  function draw(parent, name, attributes, text) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
  }

  // Three digits, as far as there are so many.
  function short(value) {
    if (value >= 100) return value.toFixed(0);
    return String(Number(value.toPrecision(3)));
  }

  function scaled(value, unit = "") {
    const space = unit ? "\u202f" : "";
    for (const [factor, prefix] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]])
      if (value >= factor * 0.9995) return `${short(value / factor)}\u202f${prefix}${unit}`;
    return short(Math.round(value * 100) / 100) + space + unit;
  }

  const count = (value) => value.toLocaleString("en");
  const bytes = (value) => scaled(value, "B");

  function duration(value) {
    for (const [factor, unit] of [[1, "s"], [1e-3, "ms"]])
      if (value >= factor * 0.9995) return `${short(value / factor)}\u202f${unit}`;
    return `${short(value * 1e6)}\u202fµs`;
  }

  const or = (format, value) => value === null || value === undefined ? NONE : format(value);

  function ago(value) {
    const left = Math.floor(value), pad = (number) => String(number).padStart(2, "0");
    const clock = `${pad(Math.floor(left / 3600) % 24)}:${pad(Math.floor(left / 60) % 60)}:${pad(left % 60)}`;
    return left < 86400 ? clock : `${Math.floor(left / 86400)} d ${clock}`;
  }

  // What the server tells only grows: the figures of a window are the differences between its two ends.

  // Of the buckets that grew: upper edge and by how much.
  function grown(now, then) {
    const before = new Map(then.latency.buckets);
    return now.latency.buckets.map(([edge, n]) => [edge, n - (before.get(edge) ?? 0)]);
  }

  function percentile(buckets, percent) {
    const total = buckets.reduce((sum, [, n]) => sum + n, 0);
    let left = Math.max(Math.ceil(total * percent / 100), 1);
    for (const [edge, n] of buckets) if ((left -= n) <= 0) return edge;
    return null;
  }

  function statusesFrom(now, first) {
    let sum = 0;
    for (const [status, n] of Object.entries(now.statuses)) if (status[0] === first) sum += n;
    return sum;
  }

  // The last sample that is at least so old, else the oldest.
  function earlier(samples, now, age) {
    return samples.findLast((sample) => sample.time <= now.uptime - age + 0.5) ?? samples[0];
  }

  function measure(samples, now) {
    const sample = { time: now.uptime, now, open: now.connections.open, inFlight: now.requests.inFlight };
    const last = samples.at(-1);
    if (last === undefined) return sample;
    const passed = Math.max(now.uptime - last.time, 0.001);
    const rate = (of) => (of(now) - of(last.now)) / passed;
    sample.requests = rate((figures) => figures.requests.total);
    sample.client = rate((figures) => statusesFrom(figures, "4"));
    sample.server = rate((figures) => statusesFrom(figures, "5"));
    sample.received = rate((figures) => figures.bytes.received);
    sample.sent = rate((figures) => figures.bytes.sent);
    const buckets = grown(now, earlier(samples, now, RECENT).now);
    for (const percent of [50, 90, 99, 99.9]) sample[`p${percent}`] = percentile(buckets, percent);
    return sample;
  }

  // Axes: the marks to draw, and where a value stands between the bottom (0) and the top (1).

  function linear(values) {
    const most = Math.max(...values, 1);
    const power = 10 ** Math.floor(Math.log10(most / 4));
    const step = Math.max([1, 2, 5, 10].find((factor) => factor * power * 4 >= most) * power, 0.5);
    const top = Math.ceil(most / step - 1e-9) * step;
    const marks = [];
    for (let n = 0; n * step <= top + 1e-9; n++) marks.push(n * step);
    return { marks, place: (value) => value / top };
  }

  function logarithmic(values) {
    const shown = values.length ? values : [1e-4, 1e-2];
    const low = Math.floor(Math.log10(Math.min(...shown)) + 1e-9);
    const high = Math.max(Math.ceil(Math.log10(Math.max(...shown)) - 1e-9), low + 1);
    const marks = [];
    for (let power = low; power <= high; power++)
      for (const factor of high - low < 3 ? [1, 2, 5] : [1])
        if (power < high || factor === 1) marks.push(factor * 10 ** power);
    return { marks, place: (value) => (Math.log10(value) - low) / (high - low) };
  }

  class Chart {
    constructor(title, unit, axis, format, series) {
      Object.assign(this, { title, unit, axis, format, series });
      this.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      this.svg.setAttribute("role", "img");
      this.values = series.map(() => make("b", {}, NONE));
      const legend = make("ul", { class: "legend" }, ...series.map(([, label, color], n) =>
        make("li", {}, make("i", { class: color }), `${label} `, this.values[n])));
      const caption = make("figcaption", {}, make("strong", {}, title), make("small", {}, unit), legend);
      byId("charts").append(make("figure", { "aria-label": title }, caption, this.svg));
      this.svg.addEventListener("pointermove", (event) => {
        const at = (event.offsetX - this.left) / (this.right - this.left);
        point(at >= 0 && at <= 1 ? (1 - at) * span : null);
      });
      this.svg.addEventListener("pointerleave", () => point(null));
    }

    show(samples, end, pointed) {
      const { svg } = this, width = svg.clientWidth, height = svg.clientHeight;
      const left = this.left = 52, right = this.right = Math.max(width - 8, left + 1), top = 10, bottom = height - 20;
      const all = this.series.flatMap(([key]) => samples.map((sample) => sample[key])).filter(Number.isFinite);
      const axis = this.axis(all);
      const x = (time) => right - (end - time) / span * (right - left);
      const y = (value) => (bottom - axis.place(value) * (bottom - top)).toFixed(1);
      svg.replaceChildren();
      for (const mark of axis.marks) {
        draw(svg, "line", { x1: left, x2: right, y1: y(mark), y2: y(mark), class: "grid" });
        draw(svg, "text", { x: left - 7, y: Number(y(mark)) + 4, "text-anchor": "end" }, this.format(mark));
      }
      draw(svg, "line", { x1: left, x2: right, y1: bottom, y2: bottom, class: "base" });
      const step = span / (span > MINUTE ? 5 : right - left < 400 ? 3 : 6);
      for (let age = 0; age <= span; age += step) {
        const text = age === 0 ? "now" : span === MINUTE ? `−${age} s` : `−${age / MINUTE} min`;
        const anchor = age === 0 ? "end" : age === span ? "start" : "middle";
        draw(svg, "text", { x: x(end - age), y: height - 5, "text-anchor": anchor }, text);
      }
      for (const [key, , color] of this.series) {
        let path = "", previous = null;
        for (const sample of samples) {
          const value = sample[key];
          if (!Number.isFinite(value)) { previous = null; continue; }
          const joined = previous !== null && sample.time - previous <= GAP;
          // A point on its own is a line of no length, which has round ends.
          path += `${joined ? "L" : "M"}${x(sample.time).toFixed(1)} ${y(value)}${joined ? "" : "h0"}`;
          previous = sample.time;
        }
        draw(svg, "path", { d: path, class: color, "data-series": key });
      }
      if (pointed) draw(svg, "line", { x1: x(pointed.time), x2: x(pointed.time), y1: top, y2: bottom, class: "cursor" });
      const told = pointed ?? samples.at(-1);
      this.series.forEach(([key], n) => { this.values[n].textContent = or(this.format, told?.[key]); });
      const texts = this.series.map(([, label], n) => `${label} ${this.values[n].textContent}`);
      svg.setAttribute("aria-label", `${this.title}, ${this.unit}: ${texts.join(", ")}`);
    }
  }

  const charts = [
    new Chart("Requests", "per second", linear, scaled,
      [["requests", "all", "blue"], ["client", "4xx", "amber"], ["server", "5xx", "red"]]),
    new Chart("Latency", "last 10 s", logarithmic, duration,
      [["p50", "p50", "ramp1"], ["p90", "p90", "ramp2"], ["p99", "p99", "ramp3"], ["p99.9", "p99.9", "ramp4"]]),
    new Chart("Connections", "and requests in flight", linear, scaled,
      [["open", "open", "blue"], ["inFlight", "in flight", "teal"]]),
    new Chart("Traffic", "bytes per second", linear, bytes,
      [["received", "received", "blue"], ["sent", "sent", "teal"]]),
  ];

  const FIGURES = [
    ["Requests per second", (sample) => or(scaled, sample.requests)],
    ["p50, last 10 s", (sample) => or(duration, sample.p50)],
    ["p99, last 10 s", (sample) => or(duration, sample.p99)],
    ["p99.9, last 10 s", (sample) => or(duration, sample["p99.9"])],
    ["In flight", (sample) => count(sample.inFlight)],
    ["Open connections", (sample) => count(sample.open)],
    ["Uptime", (sample) => ago(sample.time)],
  ];
  const figures = FIGURES.map(([label]) => {
    const value = make("dd", {}, NONE);
    byId("figures").append(make("div", {}, make("dt", {}, label), value));
    return value;
  });

  function fill(id, rows) {
    byId(id).tBodies[0].replaceChildren(...rows.length
      ? rows.map(([head, ...cells]) =>
          make("tr", {}, make("th", { scope: "row" }, head), ...cells.map((cell) => make("td", {}, cell))))
      : [make("tr", {}, make("td", { class: "none", colspan: "4" }, "none so far"))]);
  }

  function refusals(now) {
    const rows = now.refused.map(({ status, reason, count }) => [String(status), reason, count]);
    for (const [reason, n] of Object.entries(now.dropped)) rows.push(["none", reason, n]);
    return rows;
  }

  function fillWorkers(shown, sample) {
    const { now } = sample, last = shown.at(-2), before = new Map();
    for (const each of last?.now.workers ?? []) before.set(each.pid, each);
    const passed = Math.max(sample.time - (last?.time ?? 0), 0.001);
    byId("workers-section").hidden = now.workers === undefined;
    fill("workers", (now.workers ?? []).map((each) => {
      const then = before.get(each.pid), since = (key) => then && (each[key] - then[key]) / passed;
      return [String(each.worker), or(String, each.pid), each.state, ago(each.uptime), count(each.requests),
        or(scaled, since("requests")), count(each.open), or((value) => `${(100 * value).toFixed(0)}\u202f%`, since("cpu")),
        or(bytes, each.memory)];
    }));
  }

  function fillTables(shown, sample) {
    const { now } = sample;
    fillWorkers(shown, sample);
    const then = earlier(shown, now, RECENT).now, minute = earlier(shown, now, MINUTE).now;
    const total = Object.values(now.statuses).reduce((sum, n) => sum + n, 0);
    fill("statuses", Object.entries(now.statuses).map(([status, n]) =>
      [status, count(n), `${(100 * n / total).toFixed(2)}\u202f%`, count(n - (then.statuses[status] ?? 0))]));
    const before = new Map(refusals(minute).map(([status, reason, n]) => [`${status} ${reason}`, n]));
    fill("refused", refusals(now).map(([status, reason, n]) =>
      [status, reason, count(n), count(n - (before.get(`${status} ${reason}`) ?? 0))]));
    fill("totals", [
      ["started", `${now.started.slice(0, 16).replace("T", " ")} UTC`],
      ["connections", count(now.connections.accepted)],
      ["requests", count(now.requests.total)],
      ["abandoned", count(now.requests.abandoned)],
      ["received", bytes(now.bytes.received)],
      ["sent", bytes(now.bytes.sent)],
      ["latency p50", or(duration, now.latency.p50)],
      ["latency p99", or(duration, now.latency.p99)],
    ]);
    fill("limits", Object.entries(now.limits).map(([limit, value]) =>
      [limit, typeof value === "number" ? count(value) : value ?? "none"]));
  }

  let samples = [];
  // What is shown while it is paused; nothing of what comes meanwhile is lost.
  let frozen = null;
  let span = MINUTE;
  let pointedAge = null;
  let lostSince = null;

  function point(age) {
    pointedAge = age;
    show();
  }

  function show() {
    const state = lostSince !== null ? "lost" : frozen ? "paused" : samples.length ? "live" : "connecting";
    const text = state === "lost" ? `lost since ${lostSince.toTimeString().slice(0, 8)}` : state;
    // Said once, lest a screen reader repeat it each second.
    if (byId("state").textContent !== text) byId("state").textContent = text;
    byId("state").dataset.state = document.body.dataset.state = state;
    const shown = frozen ?? samples, sample = shown.at(-1);
    if (sample === undefined) return;
    const { name, version, speed } = sample.now;
    byId("name").textContent = name;
    byId("about").textContent = `version ${version}, ${speed}`;
    document.title = `${state === "lost" ? "lost: " : ""}${name}`;
    figures.forEach((value, n) => { value.textContent = FIGURES[n][1](sample); });
    const visible = shown.filter(({ time }) => time >= sample.time - span);
    const wanted = pointedAge === null ? null : sample.time - pointedAge;
    const pointed = wanted === null ? null : visible.reduce((best, each) =>
      Math.abs(each.time - wanted) < Math.abs(best.time - wanted) ? each : best);
    for (const chart of charts) chart.show(visible, sample.time, pointed);
    fillTables(shown, sample);
  }

  function take(now) {
    const last = samples.at(-1);
    // Another server has taken its place: its counts have begun anew.
    if (last && (now.started !== last.now.started || now.uptime < last.time)) samples = [];
    samples.push(measure(samples, now));
    // One more than a window, so that the line begins at its edge.
    samples = samples.filter(({ time }) => time >= now.uptime - KEPT - 2 * PERIOD);
  }

  // The server's figures; null if it can't be reached or has none.
  async function ask() {
    try {
      const answer = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE * 1000) });
      return answer.ok ? await answer.json() : null;
    } catch {
      return null;
    }
  }

  async function poll() {
    const begun = performance.now();
    const now = await ask();
    if (now !== null) take(now);
    lostSince = now !== null ? null : lostSince ?? new Date();
    show();
    setTimeout(poll, Math.max(PERIOD * 1000 - (performance.now() - begun), 0));
  }

  byId("pause").addEventListener("click", () => {
    frozen = frozen ? null : samples.slice();
    byId("pause").textContent = frozen ? "Resume" : "Pause";
    show();
  });
  const windows = document.querySelectorAll("[data-window]");
  for (const button of windows) button.addEventListener("click", () => {
    span = Number(button.dataset.window);
    for (const each of windows) each.setAttribute("aria-pressed", String(each === button));
    show();
  });
  addEventListener("resize", show);
  poll();
})();
