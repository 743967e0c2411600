// Zoom. Every drawing shows the same stretch of time, milliseconds since the start of the run: the x part of its view box. Nothing is
// drawn here but the labels of the time axis; without this script the page shows the whole run.
"use strict";
(() => {
  const SPAN_MIN_MS = 100;
  const DRAG_MIN_PX = 5;
  const TICK_PX = 90;
  // Behind it there is no room for the label of a tick.
  const LAST_TICK = 0.97;

  const stack = document.querySelector(".stack");
  const drawings = [...stack.querySelectorAll("svg")];
  const axis = stack.querySelector(".axis");
  const cursor = stack.querySelector(".cursor");
  const brush = stack.querySelector(".brush");
  const reset = document.querySelector(".reset");
  const lengthMs = Number(stack.dataset.lengthMs);
  const fineBelowMs = Number(stack.dataset.fineBelowMs);
  let shown = { from: 0, to: lengthMs };
  let dragFrom = null;

  const clamp = (value, min, max) => Math.min(Math.max(value, min), max);
  const share = (ms) => (ms - shown.from) / (shown.to - shown.from);
  const percent = (part) => `${(part * 100).toFixed(3)}%`;

  function show(from, to) {
    const span = clamp(to - from, SPAN_MIN_MS, lengthMs);
    const begin = clamp(from, 0, lengthMs - span);
    shown = { from: begin, to: begin + span };
    for (const drawing of drawings) {
      drawing.setAttribute("viewBox", `${shown.from} 0 ${span} ${drawing.viewBox.baseVal.height}`);
    }
    stack.classList.toggle("close", span <= fineBelowMs);
    reset.hidden = span >= lengthMs;
    for (const phase of stack.querySelectorAll(".phases span")) {
      const begins = Math.max(share(Number(phase.dataset.fromMs)), 0);
      const ends = Math.min(share(Number(phase.dataset.toMs)), 1);
      phase.hidden = ends <= begins;
      phase.style.left = percent(begins);
      phase.style.width = percent(ends - begins);
    }
    drawAxis(span);
  }

  function drawAxis(spanMs) {
    const wanted = spanMs / Math.max(axis.clientWidth / TICK_PX, 1);
    const decade = 10 ** Math.floor(Math.log10(wanted));
    const step = [1, 2, 5, 10].map((factor) => factor * decade).find((candidate) => candidate >= wanted);
    const ticks = [];
    for (let at = Math.ceil(shown.from / step) * step; share(at) < LAST_TICK; at += step) {
      const tick = document.createElement("span");
      tick.textContent = seconds(at, step);
      tick.style.left = percent(share(at));
      ticks.push(tick);
    }
    axis.replaceChildren(...ticks);
  }

  function seconds(ms, precisionMs) {
    return `${(ms / 1000).toFixed(clamp(Math.ceil(3 - Math.log10(precisionMs)), 0, 3))} s`;
  }

  // All drawings stand below each other: the axis has their left and right edge.
  function timeAt(event) {
    const box = axis.getBoundingClientRect();
    return shown.from + clamp((event.clientX - box.left) / box.width, 0, 1) * (shown.to - shown.from);
  }

  function leftOf(ms) {
    const box = axis.getBoundingClientRect();
    return box.left - stack.getBoundingClientRect().left + share(ms) * box.width;
  }

  function readOut(ms) {
    cursor.hidden = ms === null;
    if (ms !== null) {
      cursor.style.left = `${leftOf(ms)}px`;
      cursor.textContent = seconds(ms, 1);
    }
    const detail = stack.classList.contains("close") ? "fine" : "coarse";
    for (const plot of stack.querySelectorAll(".plot")) {
      const curves = plot.querySelector(`g.${detail}`);
      const lines = curves.querySelectorAll(".line");
      plot.querySelectorAll(".key output").forEach((output, nth) => {
        const slice = Math.floor(ms / Number(curves.dataset.sliceMs));
        output.textContent = ms === null ? "" : lines[nth].dataset.values.split(",")[slice] ?? "";
      });
    }
  }

  stack.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.target.closest(".drawing")) return;
    dragFrom = { ms: timeAt(event), px: event.clientX };
    stack.setPointerCapture(event.pointerId);
  });

  stack.addEventListener("pointermove", (event) => {
    const ms = timeAt(event);
    readOut(ms);
    if (dragFrom === null) return;
    const [left, right] = [dragFrom.ms, ms].map(leftOf).sort((a, b) => a - b);
    brush.hidden = false;
    brush.style.left = `${left}px`;
    brush.style.width = `${right - left}px`;
  });

  stack.addEventListener("pointerup", (event) => {
    if (dragFrom === null) return;
    const [from, to] = [dragFrom.ms, timeAt(event)].sort((a, b) => a - b);
    const isDrag = Math.abs(event.clientX - dragFrom.px) >= DRAG_MIN_PX;
    endDrag();
    if (isDrag) show(from, to);
  });

  function endDrag() {
    dragFrom = null;
    brush.hidden = true;
  }

  stack.addEventListener("pointercancel", endDrag);
  stack.addEventListener("pointerleave", () => readOut(null));
  stack.addEventListener("dblclick", () => show(0, lengthMs));
  reset.addEventListener("click", () => show(0, lengthMs));
  window.addEventListener("resize", () => show(shown.from, shown.to));
  for (const link of document.querySelectorAll("a[data-from-ms]")) {
    link.addEventListener("click", () => show(Number(link.dataset.fromMs), Number(link.dataset.toMs)));
  }
  show(0, lengthMs);
})();
