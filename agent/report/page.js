// The page of a run: a gallery with boxes, filters, charts and the story of each item. All text is written as text.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const COLOURS = ["#e6194b", "#0082c8", "#f58231", "#911eb4", "#008080", "#d2a800", "#3cb44b", "#f032e6", "#46c8f0", "#a0522d"];
const GREY = "#808080";
const PAGE = 60;
const BINS = 20;

let shown = [];
let drawn = 0;

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  Object.assign(element, properties);
  element.append(...children);
  return element;
}

function shape(tag, attributes, colour, kind) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.setAttribute("stroke", colour);
  element.setAttribute("class", kind);
  return element;
}

function rectangle(box, colour, kind, title) {
  const [x0, y0, x1, y1] = box;
  const element = shape("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0 }, colour, kind);
  const hint = document.createElementNS("http://www.w3.org/2000/svg", "title");
  hint.textContent = title;
  element.append(hint);
  return element;
}

function overlay(picture) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 1 1");
  svg.setAttribute("preserveAspectRatio", "none");
  picture.things.forEach((thing, index) => {
    const colour = COLOURS[index % COLOURS.length];
    if (thing.planned) svg.append(rectangle(thing.planned, colour, "planned", thing.caption));
    if (thing.points.length) {
      const points = thing.points.map(([x, y]) => `${x},${y}`).join(" ");
      svg.append(shape("polyline", { points }, colour, "planned"));
      for (const [cx, cy] of thing.points) svg.append(shape("circle", { cx, cy, r: 0.012 }, colour, "planned"));
    }
    if (thing.detected) svg.append(rectangle(thing.detected, colour, "detected", `${thing.id}: ${thing.reason}`));
  });
  for (const thing of picture.unplanned) {
    svg.append(rectangle(thing.box, GREY, "unplanned", `unplanned: ${thing.what} ${thing.score.toFixed(2)}`));
  }
  return svg;
}

function show(picture, message) {
  if (picture.image === null) return make("div", { className: "picture" }, make("div", { className: "none", textContent: message }));
  const image = make("img", { src: find(`picture-${picture.image}`).textContent, alt: "", loading: "lazy", decoding: "async" });
  image.width = picture.width;
  image.height = picture.height;
  image.style.height = "auto";
  return make("div", { className: "picture" }, image, overlay(picture));
}

const number = (value, digits = 2) => (value === null ? "-" : value.toFixed(digits));

function card(item) {
  const verdict = item.accepted ? "accepted" : item.failures.join(", ");
  const element = make(
    "button",
    { className: `card ${item.accepted ? "accepted" : "rejected"}`, type: "button" },
    show(item, item.message || item.state),
    make("div", { className: "facts" }, make("span", { textContent: item.id }), make("b", { textContent: number(item.iou) })),
    make("div", { className: "facts" }, make("span", { textContent: verdict })),
    make("p", { textContent: item.prompt }),
  );
  element.addEventListener("click", () => detail(item));
  return element;
}

function row(cells, tag = "td") {
  return make("tr", {}, ...cells.map((cell) => make(tag, { textContent: cell })));
}

function detail(item) {
  find("detail-title").textContent = `${item.id}: ${item.state}, mean IoU ${number(item.iou)}, seed ${item.seed}`;
  find("detail-prompt").textContent = item.prompt;
  find("detail-picture").replaceChildren(show(item, item.message || item.state));
  find("detail-things").replaceChildren(
    row(["id", "caption", "IoU", "verdict"], "th"),
    ...item.things.map((thing) => row([thing.id, thing.caption, number(thing.iou), thing.reason])),
  );
  find("detail-reasons").replaceChildren(...item.reasons.map((reason) => make("li", { textContent: reason })));
  find("detail-rounds").replaceChildren(...(item.rounds.length ? item.rounds.map(round) : ["one round"]));
  find("detail-plan").textContent = item.plan || "no plan";
  find("detail").showModal();
}

function round(one) {
  const told = [...new Set([...one.told, ...one.reasons])];
  return make(
    "div",
    { className: "round" },
    show(one, "not drawn"),
    make("b", { textContent: `round ${one.number}: ${one.accepted ? "accepted" : "not accepted"}, ${number(one.iou)}` }),
    make("ul", {}, ...told.map((line) => make("li", { textContent: line }))),
  );
}

function passes(item) {
  const score = item.iou === null ? 0 : item.iou;
  const category = find("category").value, failure = find("failure").value;
  const text = find("text").value.toLowerCase();
  return (
    score >= Number(find("least").value) && score <= Number(find("most").value || 1) &&
    (!category || item.things.some((thing) => thing.category === category)) &&
    (!failure || (failure === "accepted" ? item.accepted : item.failures.includes(failure))) &&
    (!text || `${item.id} ${item.prompt}`.toLowerCase().includes(text))
  );
}

const ORDERS = {
  worst: (a, b) => a.accepted - b.accepted || (a.iou ?? -1) - (b.iou ?? -1),
  best: (a, b) => b.accepted - a.accepted || (b.iou ?? -1) - (a.iou ?? -1),
  id: (a, b) => a.id.localeCompare(b.id, undefined, { numeric: true }),
};

function update() {
  shown = data.items.filter(passes).sort(ORDERS[find("order").value]);
  drawn = 0;
  find("gallery").replaceChildren();
  find("count").textContent = `${shown.length} of ${data.items.length} shown`;
  more();
  charts();
}

// Cards are made as they come into sight: a thousand pictures open as fast as sixty.
function more() {
  find("gallery").append(...shown.slice(drawn, drawn + PAGE).map(card));
  drawn = Math.min(drawn + PAGE, shown.length);
}

new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting) && drawn < shown.length) more();
}, { rootMargin: "800px" }).observe(find("more"));

function axes(canvas, right, top) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = "#333";
  context.font = "11px sans-serif";
  const area = { left: 34, top: 10, width: canvas.width - 44, height: canvas.height - 34 };
  context.strokeStyle = "#999";
  context.strokeRect(area.left, area.top, area.width, area.height);
  context.fillText("0", area.left, canvas.height - 8);
  context.fillText(right, area.left + area.width - context.measureText(right).width, canvas.height - 8);
  context.fillText(top, 2, area.top + 8);
  context.fillText("0", 20, area.top + area.height);
  return [context, area];
}

function histogram(canvas, values) {
  const counts = new Array(BINS).fill(0);
  for (const value of values) counts[Math.min(Math.floor(value * BINS), BINS - 1)] += 1;
  const most = Math.max(1, ...counts);
  const [context, area] = axes(canvas, "1", String(most));
  context.fillStyle = "#0082c8";
  counts.forEach((count, bin) => {
    const height = (area.height * count) / most;
    context.fillRect(area.left + (area.width * bin) / BINS + 1, area.top + area.height - height, area.width / BINS - 2, height);
  });
  canvas.dataset.counts = JSON.stringify(counts);
}

function scatter(canvas, points) {
  const widest = Math.max(0.05, ...points.map(([x]) => x));
  const [context, area] = axes(canvas, widest.toFixed(2), "1");
  context.fillStyle = "rgba(0, 130, 200, .45)";
  for (const [x, y] of points) {
    context.fillRect(area.left + (area.width * x) / widest - 2, area.top + area.height * (1 - y) - 2, 4, 4);
  }
  canvas.dataset.points = String(points.length);
}

function charts() {
  const present = new Set(shown.map((item) => item.index));
  const points = data.points.filter((point) => present.has(point.item));
  histogram(find("histogram-items"), shown.filter((item) => item.iou !== null).map((item) => item.iou));
  histogram(find("histogram-things"), points.map((point) => point.iou));
  scatter(find("scatter-area"), points.map((point) => [point.area, point.iou]));
  scatter(find("scatter-overlap"), points.map((point) => [point.overlap, point.iou]));
}

function choices(select, names) {
  select.append(make("option", { value: "", textContent: "any" }));
  for (const name of [...new Set(names)].sort()) select.append(make("option", { value: name, textContent: name }));
}

function start() {
  data.items.forEach((item, index) => (item.index = index));
  const accepted = data.items.filter((item) => item.accepted).length;
  find("title").textContent = data.title;
  find("summary").textContent =
    `${data.items.length} items, ${accepted} accepted${data.unfinished ? `, ${data.unfinished} more not finished yet` : ""}; detector ${data.detectors.join(", ") || "none"}; boxes normalised xyxy`;
  find("scores").append(
    row(["score", "value", "95 % interval", "over"], "th"),
    ...data.scores.map((score) =>
      row([
        score.title,
        number(score.value, 3),
        score.ci95 ? score.ci95.map((side) => number(side, 3)).join(" to ") : "-",
        `${score.of} ${score.unit}`,
      ]),
    ),
  );
  choices(find("category"), data.items.flatMap((item) => item.things.map((thing) => thing.category)));
  choices(find("failure"), ["accepted", ...data.items.flatMap((item) => item.failures)]);
  for (const kind of ["planned", "detected", "unplanned"]) {
    find(`show-${kind}`).addEventListener("change", (event) =>
      document.body.classList.toggle(`hide-${kind}`, !event.target.checked),
    );
  }
  for (const id of ["least", "most", "category", "failure", "text", "order"]) find(id).addEventListener("input", update);
  update();
}

start();
