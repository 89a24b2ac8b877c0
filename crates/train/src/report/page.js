"use strict";

// A film: one sheet at a time, by the slider or by itself.
for (const film of document.querySelectorAll(".film")) {
  const sheets = [...film.querySelectorAll("img")];
  const slider = film.querySelector("input");
  if (!slider) continue;
  const output = film.querySelector("output");
  const button = film.querySelector("button");
  let timer = 0;
  const show = () => {
    sheets.forEach((sheet, place) => { sheet.hidden = place !== Number(slider.value); });
    output.textContent = sheets[slider.value].dataset.when;
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    button.textContent = "▶";
    button.ariaLabel = "play";
  };
  slider.addEventListener("input", () => { stop(); show(); });
  button.addEventListener("click", () => {
    if (timer) return stop();
    if (slider.value === slider.max) slider.value = 0;
    button.textContent = "❚❚";
    button.ariaLabel = "pause";
    show();
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      show();
      if (slider.value === slider.max) stop();
    }, Math.max(80, Math.min(400, 5000 / sheets.length)));
  });
  show();
}

// A chart: the legend shows the numbers at the place that is pointed at.
const short = (value) => value === null ? "–"
  : Math.abs(value) >= 1e4 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(2)
  : String(Number(value.toPrecision(4)));
for (const chart of document.querySelectorAll(".chart")) {
  const { x, curves } = JSON.parse(chart.querySelector("script").textContent);
  const numbers = [...chart.querySelectorAll(".legend b")];
  const resting = numbers.map((number) => number.textContent);
  const title = chart.querySelector("h3");
  const name = title.textContent;
  for (const svg of chart.querySelectorAll("svg")) {
    const cursor = svg.querySelector(".cursor");
    const [left, right, first, last] =
      ["left", "right", "first", "last"].map((key) => Number(svg.dataset[key]));
    const height = svg.viewBox.baseVal.height;
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const at = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
      const wanted = first + (at - left) / (right - left) * (last - first);
      let nearest = 0;
      x.forEach((value, place) => {
        if (Math.abs(value - wanted) < Math.abs(x[nearest] - wanted)) nearest = place;
      });
      const line = left + (x[nearest] - first) / (last - first) * (right - left);
      cursor.setAttribute("d", `M${line} 10V${height - 28}`);
      numbers.forEach((number, place) => { number.textContent = short(curves[place][nearest]); });
      title.textContent = `${name} at ${Math.round(x[nearest]).toLocaleString("en")} ${chart.dataset.unit}`;
    });
    svg.addEventListener("pointerleave", () => {
      cursor.removeAttribute("d");
      numbers.forEach((number, place) => { number.textContent = resting[place]; });
      title.textContent = name;
    });
  }
}

for (const button of document.querySelectorAll(".commands button")) {
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.previousElementSibling.textContent);
      button.textContent = "copied";
    } catch {
      // Pages from a file may be kept from the clipboard: select the line instead.
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
}
