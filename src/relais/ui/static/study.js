// The study page: pictures that the node renders, a window, frames, attributes. Talks DICOMweb, like any other viewer.

import { documentOf } from "./documents.js";
import { number, value } from "./json.js";
import { grain, snap, stored, table, whole } from "./window.js";

const PRESETS = { CT: [["Soft tissue", 40, 400], ["Lung", -600, 1500], ["Bone", 400, 1800], ["Brain", 35, 80], ["Abdomen", 60, 350]] };
const MAX_INSTANCES = 5000;
const MAX_VIEWS = 20_000; // of one series: a few bytes may claim any Number of Frames
const NO_ATTRIBUTES = "<p class=hint>The attributes cannot be shown.</p>";
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

let series = null; // { uid, modality, name, views: [{ uid, frame, of, json }] }
let at = 0;
let window_ = null; // { center, width, how }, null as stored
let metadata = null; // of the instance that is shown, or of the last one that was described
let described = ""; // which one that is
let describing = 0;
let shown = "";
let sought = ""; // in the attributes
let drawn = null; // the picture on the screen
let timer = 0;
let calm = 0;
let keptPixels = 0;
const cache = new Map(); // address -> the promise of a picture
const pixels = new Map(); // address -> how many it has
const details = new Map(); // SOP Instance UID -> the promise of its metadata
const ranges = new Map(); // SOP Instance UID / frame -> the window of a frame without one

// Series and views

async function openSeries(link) {
  stop();
  const uid = link.dataset.series;
  for (const other of bench.querySelectorAll(".series")) other.toggleAttribute("aria-current", other === link);
  const mine = { uid, modality: link.dataset.modality, name: link.querySelector("strong").textContent, views: [] };
  series = mine;
  empty();
  try {
    const answer = await fetch(`${root}/series/${uid}/instances?limit=${MAX_INSTANCES}`, { headers: { Accept: "application/dicom+json" } });
    if (!answer.ok) throw new Error(await reason(answer));
    const found = answer.status === 204 ? [] : await answer.json();
    if (series !== mine) return;
    mine.views = viewsOf(found);
    mine.isCut = found.length === MAX_INSTANCES || mine.views.length === MAX_VIEWS;
  } catch (error) {
    if (series === mine) say("The series cannot be shown", error.message);
    return;
  }
  at = Math.floor((mine.views.length - 1) / 2);
  position.max = Math.max(mine.views.length, 1);
  position.disabled = mine.views.length < 2;
  play.hidden = !mine.views.some((view) => view.of > 1);
  await show(at);
}

// Nothing of another series may stay beside what is said of this one.
function empty() {
  clearTimeout(describing);
  [window_, metadata, described, shown, at] = [null, null, "", "", 0];
  forget();
  clear();
  say("");
  stage.classList.remove("reading");
  paper.hidden = true;
  panel.replaceChildren();
  find("presets").replaceChildren();
  find("count").textContent = "";
  for (const place of ["tl", "tr", "bl", "br"]) overlay(place, []);
  sliders();
}

function viewsOf(found) {
  const views = [];
  for (const json of found) {
    const uid = value(json, "00080018"), isPicture = number(json, "00280010") !== undefined;
    const of = isPicture ? Math.max(number(json, "00280008") ?? 1, 1) : 1;
    for (let frame = 1; frame <= of && views.length < MAX_VIEWS; frame++) views.push({ uid, frame, of, json, isPicture });
  }
  return views;
}

async function show(index) {
  const view = series?.views[index];
  if (!view) return say("Nothing to show", "This series holds no instance.");
  at = index;
  position.value = index + 1;
  find("count").textContent = `${index + 1} / ${series.views.length}${series.isCut ? "+" : ""}`;
  shown = view.uid;
  clearTimeout(describing);
  if (described !== view.uid || (view.isPicture && !base())) describing = setTimeout(() => describe(view), metadata ? CALM_MS : 0);
  stage.classList.toggle("reading", !view.isPicture);
  screen.tabIndex = view.isPicture ? 0 : -1;
  paper.hidden = view.isPicture;
  if (!view.isPicture) return read(view);
  await paint(view);
}

const place = (view) => `${root}/series/${series.uid}/instances/${view.uid}`;

// Pictures

function address(view) {
  const parts = new URLSearchParams({ accept: "image/jpeg", quality: "92" });
  if (window_) parts.set("window", `${window_.center},${window_.width},${window_.width < 1 && window_.how === "linear" ? "linear-exact" : window_.how}`);
  return `${place(view)}/frames/${view.frame}/rendered?${parts}`;
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
  ranges.clear();
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

const overlay = (corner, lines) => { bench.querySelector(`[data-overlay=${corner}]`).textContent = lines.filter(Boolean).join("\n"); };

function label(view) {
  const instance = value(view.json, "00200013") ?? null;
  const which = view.of > 1 ? `frame ${view.frame} of ${view.of}` : instance === null ? `image ${at + 1} of ${series.views.length}` : `instance ${instance}`;
  overlay("tl", [series.name, `${series.modality}  ${which}`]);
  overlay("tr", [`${number(view.json, "00280011") ?? "?"} × ${number(view.json, "00280010")}`]);
  overlay("bl", [depth(own()), thickness(own())]);
  overlay("br", windowLines(view));
  sliders();
}

function windowLines(view) {
  const say = ({ center, width }) => `C ${tell(center, width)}  W ${tell(width, width)}`;
  if (!isGrey()) return [window_ ? "" : "as stored"];
  if (window_) return [say(window_)];
  if (!own()) return ["as stored"];
  const found = stored(own(), view.frame);
  return found ? [say(found), "as stored"] : table(own(), view.frame) ? ["VOI LUT", "as stored"] : ["full range"];
}

const own = () => (described && described === shown ? metadata : null); // what is known of the instance that is shown
const depth = (json) => (number(json, "00201041") === undefined ? "" : `z ${number(json, "00201041").toFixed(1)} mm`);
const thickness = (json) => (number(json, "00180050") ? `slice ${number(json, "00180050")} mm` : "");
const tell = (amount, width) => snap(amount, grain(width) / 10);
const isGrey = () => String(value(metadata, "00280004") ?? "MONOCHROME2").startsWith("MONOCHROME");

// Window

// What the frame is shown by while nobody changes it; null as long as that is not known.
function base() {
  const view = series.views[at];
  return own() && view ? stored(own(), view.frame) ?? ranges.get(`${view.uid}/${view.frame}`) ?? null : null;
}

function presets() {
  const box = find("presets");
  const named = [["As stored", null, null], ...(isGrey() ? PRESETS[series.modality] ?? [] : [])];
  box.replaceChildren(...(named.length < 2 ? [] : named).map(([name, center, width], index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.title = `Key ${index}`;
    button.addEventListener("click", () => adjust(center === null ? null : { center, width, how: "linear" }));
    return button;
  }));
  sliders();
}

function sliders() {
  const known = base() ?? window_, now = window_ ?? known;
  const isCT = series.modality === "CT" && known?.width >= 60;
  const set = (name, low, high, amount) => {
    const slider = find(name), step = known ? grain(known.width) : 1;
    slider.disabled = !known || !isGrey();
    slider.step = step;
    slider.min = snap(Math.floor(Math.min(low, amount) / step) * step, step);
    slider.max = snap(Math.ceil(Math.max(high, amount) / step) * step, step);
    slider.value = amount;
    find(`${name}-value`).textContent = slider.disabled ? "" : tell(amount, now.width);
  };
  const { center = 0, width = 1 } = known ?? {};
  set("center", ...(isCT ? [-1000, 2000] : [center - width * 1.5, center + width * 1.5]), now?.center ?? 0);
  set("width", known ? grain(width) : 1, isCT ? 3000 : width * 3, now?.width ?? 1);
  for (const [index, button] of [...find("presets").children].entries()) {
    const preset = index ? PRESETS[series.modality][index - 1] : null;
    button.setAttribute("aria-pressed", String(preset ? window_?.center === preset[1] && window_?.width === preset[2] : !window_));
  }
}

function adjust(wanted) {
  const known = base() ?? wanted;
  window_ = wanted && { ...wanted, width: Math.max(wanted.width, grain(known.width)) };
  sliders();
  clearTimeout(timer);
  timer = setTimeout(() => { const view = series.views[at]; if (view?.isPicture) paint(view); }, WAIT_MS);
}

// Attributes, reports and letters

async function describe(view) {
  if (described !== view.uid) await introduce(view);
  if (series.views[at] !== view || !own() || !view.isPicture) return;
  if (isGrey() && !base()) {
    const [known, found] = [ranges, await whole(place(view), own(), view.frame)];
    if (series.views[at] !== view) return;
    known.set(`${view.uid}/${view.frame}`, found);
  }
  label(view);
}

async function introduce(view) {
  const [json, html] = await Promise.all([
    metadataOf(view).catch(() => null),
    fetch(`/studies/${study}/series/${series.uid}/instances/${view.uid}?panel`).then((answer) => (answer.ok ? answer.text() : NO_ATTRIBUTES), () => NO_ATTRIBUTES),
  ]);
  if (view.uid !== shown) return;
  fill(html);
  if (!json) return;
  [metadata, described] = [json, view.uid];
  presets();
}

function metadataOf(view) {
  const known = details.get(view.uid);
  if (known) return known;
  const found = fetch(`${place(view)}/metadata`, { headers: { Accept: "application/dicom+json" } }).then(async (answer) => {
    if (!answer.ok) throw new Error(await reason(answer));
    return (await answer.json())[0] ?? {};
  });
  found.catch(() => details.delete(view.uid));
  details.set(view.uid, found);
  return found;
}

function fill(html) {
  const top = panel.querySelector(".scroll")?.scrollTop ?? 0;
  const parsed = new DOMParser().parseFromString(html, "text/html");
  panel.replaceChildren(...parsed.body.childNodes);
  const field = panel.querySelector("[data-find]");
  if (field) { field.value = sought; narrow(); panel.querySelector(".scroll").scrollTop = top; }
}

function narrow() {
  sought = panel.querySelector("[data-find]").value;
  const words = sought.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of panel.querySelectorAll("tbody tr")) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
}

async function read(view) {
  clear();
  say("");
  paper.replaceChildren();
  paper.classList.remove("whole");
  const url = place(view);
  let content = null;
  try {
    content = await documentOf(await metadataOf(view), url, reason);
  } catch (error) {
    if (series.views[at] === view) { paper.hidden = true; say("This instance cannot be shown", error.message); }
    return;
  }
  if (series.views[at] !== view) return;
  paper.hidden = !content;
  if (!content) return say("No picture", "This kind of instance has none. Its attributes are on the right.");
  paper.replaceChildren(...content.nodes);
  paper.classList.toggle("whole", Boolean(content.isWhole));
  paper.scrollTop = 0;
  if ([document.body, screen].includes(document.activeElement)) paper.focus({ preventScroll: true });
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
for (const name of ["center", "width"]) find(name).addEventListener("input", () => adjust({ ...(window_ ?? base()), [name]: Number(find(name).value) }));
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
  drag = { x: event.clientX, y: event.clientY };
  screen.setPointerCapture(event.pointerId);
});
screen.addEventListener("pointermove", (event) => {
  const from = drag && (drag.from ??= window_ ?? base());
  if (!from) return;
  const scale = Math.max(from.width, Math.min((base() ?? from).width, 60)) / 260, step = grain(from.width);
  adjust({ ...from, center: from.center + snap((event.clientY - drag.y) * scale, step), width: from.width + snap((event.clientX - drag.x) * scale, step) });
});
for (const end of ["pointerup", "pointercancel"]) screen.addEventListener(end, () => { drag = null; });

const KEYS = {
  ArrowDown: () => go(at + 1), ArrowRight: () => go(at + 1), ArrowUp: () => go(at - 1), ArrowLeft: () => go(at - 1),
  PageDown: () => go(at + 10), PageUp: () => go(at - 10), Home: () => go(0), End: () => go(Infinity),
  i: invert, z: zoom, " ": () => { if (!play.hidden) toggle(); },
};
const SCROLLING = ["ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End", " "];

// Whether a key is for what has the focus: a list or a paper to scroll, a slider to move.
function isForTarget(event) {
  if (!KEYS[event.key] || event.key.length === 1 && event.key !== " ") return false;
  if (event.target.closest("[data-panel], [data-center], [data-width]")) return true;
  return stage.classList.contains("reading") && SCROLLING.includes(event.key);
}

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input:not([type=range])") || (event.key === " " && event.target.matches("button, a"));
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || isForTarget(event)) return;
  if (/^\d$/.test(event.key)) find("presets").children[Number(event.key)]?.click();
  else if (KEYS[event.key]) KEYS[event.key]();
  else return;
  event.preventDefault();
});

const chosen = bench.querySelector(".series[aria-current]") ?? bench.querySelector(".series");
if (chosen) openSeries(chosen);
