// The study page: pictures that the node renders, a window, frames, attributes. Talks DICOMweb, like any other viewer.

import { documentOf } from "./documents.js";

const PRESETS = { CT: [["Soft tissue", 40, 400], ["Lung", -600, 1500], ["Bone", 400, 1800], ["Brain", 35, 80], ["Abdomen", 60, 350]] };
const MAX_INSTANCES = 5000;
const AHEAD = 4; // pictures fetched before they are asked for, and half as many behind
const KEPT_PIXELS = 64e6; // of pictures kept at hand: a quarter of a gigabyte
const WAIT_MS = 60; // between a movement of a slider and its picture
const CALM_MS = 200; // without a movement before others are fetched ahead

const bench = document.querySelector(".bench");
const find = (name) => bench.querySelector(`[data-${name}]`);
const stage = bench.querySelector(".stage"), screen = find("screen"), picture = find("picture"), position = find("position"), note = find("note");
const paper = find("paper"), panel = find("panel"), play = find("play");
const study = bench.dataset.study;
const root = `/dicom-web/studies/${study}`;

const value = (json, tag) => json?.[tag]?.Value?.[0];
const number = (json, tag) => { const found = Number(value(json, tag)); return Number.isFinite(found) ? found : undefined; };

let series = null; // { uid, modality, name, views: [{ uid, frame, of, json }] }
let at = 0;
let window_ = null; // [center, width], null as stored
let metadata = null; // of the instance that is shown, or of the last one that was described
let described = ""; // which one that is
let describing = 0;
let shown = "";
let drawn = null; // the picture on the screen
let timer = 0;
let calm = 0;
let keptPixels = 0;
const cache = new Map(); // address -> the promise of a picture
const pixels = new Map(); // address -> how many it has
const details = new Map();

// Series and views

async function openSeries(link) {
  stop();
  const uid = link.dataset.series;
  for (const other of bench.querySelectorAll(".series")) other.toggleAttribute("aria-current", other === link);
  const mine = { uid, modality: link.dataset.modality, name: link.querySelector("strong").textContent, views: [] };
  series = mine;
  say("");
  try {
    const answer = await fetch(`${root}/series/${uid}/instances?limit=${MAX_INSTANCES}`, { headers: { Accept: "application/dicom+json" } });
    if (!answer.ok) throw new Error(await reason(answer));
    const found = answer.status === 204 ? [] : await answer.json();
    if (series !== mine) return;
    mine.views = found.flatMap(viewsOf);
    mine.isCut = found.length === MAX_INSTANCES;
  } catch (error) {
    return say("The series cannot be shown", error.message);
  }
  [window_, metadata, described] = [null, null, ""];
  forget();
  at = Math.floor((mine.views.length - 1) / 2);
  position.max = Math.max(mine.views.length, 1);
  position.disabled = mine.views.length < 2;
  play.hidden = !mine.views.some((view) => view.of > 1);
  await show(at);
}

function viewsOf(json) {
  const uid = value(json, "00080018");
  const frames = Math.max(number(json, "00280008") ?? 1, 1);
  const isPicture = number(json, "00280010") !== undefined;
  return Array.from({ length: isPicture ? frames : 1 }, (_, index) => ({ uid, frame: index + 1, of: frames, json, isPicture }));
}

async function show(index) {
  const view = series?.views[index];
  if (!view) return say("Nothing to show", "This series holds no instance.");
  at = index;
  position.value = index + 1;
  find("count").textContent = `${index + 1} / ${series.views.length}${series.isCut ? "+" : ""}`;
  shown = view.uid;
  clearTimeout(describing);
  if (described !== view.uid) describing = setTimeout(() => describe(view), metadata ? CALM_MS : 0);
  stage.classList.toggle("reading", !view.isPicture);
  paper.hidden = view.isPicture;
  if (!view.isPicture) return read(view);
  await paint(view);
}

// Pictures

function address(view) {
  const parts = new URLSearchParams({ accept: "image/jpeg", quality: "92" });
  if (window_) parts.set("window", `${round(window_[0])},${round(window_[1])},linear`);
  return `${root}/series/${series.uid}/instances/${view.uid}/frames/${view.frame}/rendered?${parts}`;
}

function load(url) {
  let entry = cache.get(url);
  if (!entry) {
    entry = fetch(url).then(async (answer) => {
      if (!answer.ok) throw new Error(await reason(answer));
      const image = await createImageBitmap(await answer.blob());
      if (cache.get(url) === entry) keep(url, image.width * image.height);
      return image;
    });
    entry.catch(() => cache.delete(url));
    cache.set(url, entry);
  }
  return entry;
}

function keep(url, count) {
  pixels.set(url, count);
  keptPixels += count;
  for (const [oldest, size] of pixels) {
    if (keptPixels <= KEPT_PIXELS || oldest === url) return;
    pixels.delete(oldest);
    cache.delete(oldest);
    keptPixels -= size;
  }
}

function forget() {
  cache.clear();
  pixels.clear();
  details.clear();
  keptPixels = 0;
}

function fetchAhead() {
  for (let step = 1; step <= AHEAD; step++) for (const near of step > AHEAD / 2 ? [at + step] : [at + step, at - step]) {
    const next = series.views[near];
    if (next?.isPicture) load(address(next)).catch(() => {});
  }
}

async function paint(view) {
  const url = address(view);
  const late = setTimeout(() => picture.classList.add("waiting"), 180);
  try {
    const image = await load(url);
    if (url !== address(series.views[at])) return;
    draw(image);
    say("");
    label(view);
  } catch (error) {
    if (url === address(series.views[at])) { clear(); say("This image cannot be shown", error.message); label(view); }
  } finally {
    clearTimeout(late);
    picture.classList.remove("waiting");
  }
  clearTimeout(calm);
  calm = setTimeout(fetchAhead, CALM_MS);
}

function draw(image) {
  const isExact = screen.classList.contains("exact");
  const dots = devicePixelRatio;
  const scale = isExact ? 1 : Math.min((screen.clientWidth * dots) / image.width, (screen.clientHeight * dots) / image.height);
  picture.width = Math.max(Math.round(image.width * scale), 1);
  picture.height = Math.max(Math.round(image.height * scale), 1);
  picture.style.width = `${picture.width / dots}px`;
  picture.style.height = `${picture.height / dots}px`;
  const pen = picture.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(image, 0, 0, picture.width, picture.height);
  picture.dataset.drawn = "";
  drawn = image;
}

function clear() {
  picture.width = picture.height = 1;
  delete picture.dataset.drawn;
  drawn = null;
}

function label(view) {
  const overlay = (place, lines) => { bench.querySelector(`[data-overlay=${place}]`).textContent = lines.filter(Boolean).join("\n"); };
  const [center, width] = window_ ?? stored();
  overlay("tl", [series.name, `${series.modality}  ${view.of > 1 ? `frame ${view.frame} of ${view.of}` : `instance ${value(view.json, "00200013") ?? at + 1}`}`]);
  overlay("tr", [`${number(view.json, "00280011") ?? "?"} × ${number(view.json, "00280010")}`]);
  const own = described === view.uid ? metadata : null;
  overlay("bl", [place(own), thickness(own)]);
  overlay("br", [isGrey() && width ? `C ${round(center)}  W ${round(width)}` : "", window_ ? "" : "as stored"]);
}

const place = (json) => (number(json, "00201041") === undefined ? "" : `z ${number(json, "00201041").toFixed(1)} mm`);
const thickness = (json) => (number(json, "00180050") ? `slice ${number(json, "00180050")} mm` : "");
const round = (amount) => Math.round(amount * 10) / 10;
const isGrey = () => String(value(metadata, "00280004") ?? "MONOCHROME2").startsWith("MONOCHROME");

// Window

function stored() {
  const shared = value(metadata, "52009229")?.["00289132"]?.Value?.[0];
  const source = number(metadata, "00281050") !== undefined ? metadata : shared;
  const width = number(source, "00281051"), center = number(source, "00281050");
  if (width !== undefined && center !== undefined) return [center, width];
  const bits = number(metadata, "00280101") ?? 8;
  return [2 ** (bits - 1), 2 ** bits];
}

function presets() {
  const box = find("presets");
  const named = [["As stored", null, null], ...(isGrey() ? PRESETS[series.modality] ?? [] : [])];
  box.replaceChildren(...(named.length < 2 ? [] : named).map(([name, center, width], index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.title = `Key ${index}`;
    button.addEventListener("click", () => adjust(center === null ? null : [center, width]));
    return button;
  }));
  sliders();
}

function sliders() {
  const [center, width] = window_ ?? stored();
  const base = stored();
  const isCT = series.modality === "CT";
  const centers = isCT ? [-1000, 2000] : [base[0] - base[1] * 1.5, base[0] + base[1] * 1.5];
  const set = (name, low, high, amount) => {
    const slider = find(name);
    slider.disabled = !isGrey();
    slider.min = Math.floor(Math.min(low, amount));
    slider.max = Math.ceil(Math.max(high, amount));
    slider.value = amount;
    find(`${name}-value`).textContent = isGrey() ? round(amount) : "";
  };
  set("center", ...centers, center);
  set("width", 1, isCT ? 3000 : base[1] * 3, width);
  for (const [index, button] of [...find("presets").children].entries()) {
    const preset = index ? PRESETS[series.modality][index - 1] : null;
    button.setAttribute("aria-pressed", String(preset ? window_?.[0] === preset[1] && window_?.[1] === preset[2] : !window_));
  }
}

function adjust(wanted) {
  window_ = wanted && [wanted[0], Math.max(wanted[1], 1)];
  sliders();
  clearTimeout(timer);
  timer = setTimeout(() => { const view = series.views[at]; if (view?.isPicture) paint(view); }, WAIT_MS);
}

// Attributes, reports and letters

async function describe(view) {
  const url = `${root}/series/${series.uid}/instances/${view.uid}`;
  const [json, html] = await Promise.all([
    details.get(view.uid) ?? fetch(`${url}/metadata`, { headers: { Accept: "application/dicom+json" } }).then((answer) => (answer.ok ? answer.json() : [{}])).then((found) => found[0], () => ({})),
    fetch(`/studies/${study}/series/${series.uid}/instances/${view.uid}?panel`).then((answer) => answer.text(), () => ""),
  ]);
  details.set(view.uid, json);
  if (view.uid !== shown) return;
  [metadata, described] = [json, view.uid];
  fill(html);
  presets();
  if (view.isPicture) label(series.views[at]);
}

function fill(html) {
  const wanted = panel.querySelector("[data-find]")?.value ?? "";
  const top = panel.querySelector(".scroll")?.scrollTop ?? 0;
  const parsed = new DOMParser().parseFromString(html, "text/html");
  panel.replaceChildren(...parsed.body.childNodes);
  const field = panel.querySelector("[data-find]");
  if (field) { field.value = wanted; narrow(); panel.querySelector(".scroll").scrollTop = top; }
}

function narrow() {
  const words = panel.querySelector("[data-find]").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of panel.querySelectorAll("tbody tr")) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
}

async function read(view) {
  clear();
  say("");
  paper.replaceChildren();
  const url = `${root}/series/${series.uid}/instances/${view.uid}`;
  let json = details.get(view.uid);
  if (!json) json = await fetch(`${url}/metadata`, { headers: { Accept: "application/dicom+json" } }).then((answer) => answer.json()).then((found) => found[0], () => ({}));
  if (view.uid !== shown) return;
  const content = documentOf(json, url);
  paper.hidden = !content;
  if (content) paper.replaceChildren(...content.nodes);
  paper.classList.toggle("whole", Boolean(content?.isWhole));
  if (!content) say("No picture", "This kind of instance has none. Its attributes are on the right.");
}

function say(title, text = "") {
  note.replaceChildren();
  if (!title) return;
  const strong = document.createElement("strong");
  strong.textContent = title;
  note.append(strong, text);
}

async function reason(answer) {
  try {
    return (await answer.json()).message ?? answer.statusText;
  } catch {
    return answer.statusText || `status ${answer.status}`;
  }
}

// Moving about

function go(index) {
  const last = (series?.views.length ?? 0) - 1;
  if (last >= 0) show(Math.min(Math.max(index, 0), last));
}

function stop() {
  clearTimeout(play.timer);
  play.setAttribute("aria-pressed", "false");
}

function start() {
  play.setAttribute("aria-pressed", "true");
  const pause = number(metadata, "00181063") ?? 100;
  const step = async () => {
    const began = performance.now();
    fetchAhead();
    await show((at + 1) % series.views.length);
    if (play.getAttribute("aria-pressed") === "true") play.timer = setTimeout(step, Math.max(pause - (performance.now() - began), 0));
  };
  step();
}

const toggle = () => (play.getAttribute("aria-pressed") === "true" ? stop() : start());
const press = (button) => { const on = button.getAttribute("aria-pressed") !== "true"; button.setAttribute("aria-pressed", String(on)); return on; };
const invert = () => picture.classList.toggle("inverted", press(find("invert")));
const zoom = () => { screen.classList.toggle("exact", press(find("zoom"))); if (drawn) draw(drawn); };
new ResizeObserver(() => { if (drawn) draw(drawn); }).observe(screen);

play.addEventListener("click", toggle);
find("invert").addEventListener("click", invert);
find("zoom").addEventListener("click", zoom);
find("reset").addEventListener("click", () => adjust(null));
position.addEventListener("input", () => go(Number(position.value) - 1));
for (const name of ["center", "width"]) find(name).addEventListener("input", () => adjust([Number(find("center").value), Number(find("width").value)]));
panel.addEventListener("input", narrow);

for (const link of bench.querySelectorAll(".series")) link.addEventListener("click", (event) => {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  history.replaceState(null, "", link.search);
  openSeries(link);
});

let turned = 0;
screen.addEventListener("wheel", (event) => {
  if (stage.classList.contains("reading") || event.ctrlKey) return;
  event.preventDefault();
  turned += event.deltaMode ? event.deltaY * 40 : event.deltaY;
  if (Math.abs(turned) < 30) return;
  go(at + Math.sign(turned));
  turned = 0;
}, { passive: false });

let drag = null;
screen.addEventListener("pointerdown", (event) => {
  if (event.button || !isGrey() || stage.classList.contains("reading") || screen.classList.contains("exact")) return;
  drag = { x: event.clientX, y: event.clientY, from: window_ ?? stored() };
  screen.setPointerCapture(event.pointerId);
});
screen.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const scale = Math.max(drag.from[1], 60) / 260;
  adjust([Math.round(drag.from[0] + (event.clientY - drag.y) * scale), Math.round(drag.from[1] + (event.clientX - drag.x) * scale)]);
});
for (const end of ["pointerup", "pointercancel"]) screen.addEventListener(end, () => { drag = null; });

const KEYS = {
  ArrowDown: () => go(at + 1), ArrowRight: () => go(at + 1), ArrowUp: () => go(at - 1), ArrowLeft: () => go(at - 1),
  PageDown: () => go(at + 10), PageUp: () => go(at - 10), Home: () => go(0), End: () => go(Infinity),
  i: invert, z: zoom, " ": () => { if (!play.hidden) toggle(); },
};
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input:not([type=range])") || (event.key === " " && event.target.matches("button, a"));
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^\d$/.test(event.key)) find("presets").children[Number(event.key)]?.click();
  else if (KEYS[event.key]) KEYS[event.key]();
  else return;
  event.preventDefault();
});

const chosen = bench.querySelector(".series[aria-current]") ?? bench.querySelector(".series");
if (chosen) openSeries(chosen);
