// Windows { center, width, how }: the one stored for a frame, and the one that it is shown by without. Knows no page.

import { number, value } from "./json.js";

const FUNCTIONS = { LINEAR_EXACT: "linear-exact", SIGMOID: "sigmoid" };
const NATIVE = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1";
const MOST_BYTES = 32e6; // of a frame that is looked through for its least and greatest value

// The Item of a functional group: the frame's, else the shared one, else the Data Set itself (PS3.3 C.7.6.16).
function group(json, sequence, frame) {
  const groups = [json["52009230"]?.Value?.[frame - 1], value(json, "52009229")];
  return groups.map((one) => value(one, sequence)).find(Boolean) ?? json;
}

// null where none is stored, or one that is impossible (PS3.3 C.11.2.1.2), which the node takes as missing.
export function stored(json, frame) {
  const voi = group(json, "00289132", frame);
  const center = number(voi, "00281050"), width = number(voi, "00281051");
  const how = FUNCTIONS[value(voi, "00281056")] ?? "linear";
  const isPossible = center !== undefined && (how === "linear" ? width >= 1 : width > 0);
  return isPossible ? { center, width, how } : null;
}

// Number of entries, first input and bits of the VOI LUT that stands in for a window; null without one.
export const table = (json, frame) => descriptor(value(group(json, "00289132", frame), "00283010") ?? value(json, "00283010"));

function descriptor(item) {
  const found = item?.["00283006"] && item["00283002"]?.Value;
  return found?.length === 3 && found.every(Number.isFinite) ? found : null;
}

// What a frame without a stored window is shown by: the inputs of its table, else from its least to its greatest value.
export async function whole(url, json, frame) {
  const inputs = table(json, frame);
  if (inputs) return between(inputs[1], inputs[1] + (inputs[0] || 65536));
  const modality = descriptor(value(json, "00283000"));
  if (modality) return between(0, 2 ** modality[2]);
  const ends = await extremes(url, json, frame).catch(() => possible(json));
  const rescale = group(json, "00289145", frame);
  const slope = number(rescale, "00281053") || 1, intercept = number(rescale, "00281052") ?? 0;
  return between(...ends.map((end) => end * slope + intercept).sort((one, other) => one - other));
}

const between = (low, high) => ({ center: (low + high) / 2, width: high - low || 1, how: "linear-exact" });

function possible(json) {
  const values = 2 ** (number(json, "00280101") ?? 8);
  return number(json, "00280103") ? [-values / 2, values / 2 - 1] : [0, values - 1];
}

async function extremes(url, json, frame) {
  const bits = number(json, "00280101") ?? 8;
  if (bits === 1) return [0, 1];
  const allocated = number(json, "00280100"), count = number(json, "00280010") * number(json, "00280011");
  if (!(count * allocated / 8 <= MOST_BYTES)) throw new Error("too large");
  const answer = await fetch(`${url}/frames/${frame}`, { headers: { Accept: NATIVE } });
  if (!answer.ok) throw new Error(answer.statusText);
  const Kind = json["7FE00009"] ? Float64Array : json["7FE00008"] ? Float32Array : { 8: Uint8Array, 16: Uint16Array, 32: Uint32Array }[allocated];
  const samples = new Kind(await answer.arrayBuffer(), 0, count);
  return ends(samples, Kind === Float64Array || Kind === Float32Array ? (sample) => sample : valueOf(json, bits), padding(json));
}

// What a sample stands for: Bits Stored below High Bit, with a sign or without (PS3.5 8.1.1).
function valueOf(json, bits) {
  const left = 31 - (number(json, "00280102") ?? bits - 1), right = 32 - bits;
  return number(json, "00280103") ? (sample) => (sample << left) >> right : (sample) => (sample << left) >>> right;
}

function padding(json) {
  const first = number(json, "00280120") ?? number(json, "00280122");
  const last = number(json, "00280121") ?? number(json, "00280124") ?? first;
  return first === undefined ? [Infinity, -Infinity] : [Math.min(first, last), Math.max(first, last)];
}

function ends(samples, meaning, [from, to]) {
  let low = Infinity, high = -Infinity;
  for (const sample of samples) {
    const found = meaning(sample);
    if ((found >= from && found <= to) || !Number.isFinite(found)) continue;
    if (found < low) low = found;
    if (found > high) high = found;
  }
  return low <= high ? [low, high] : [0, 1];
}

// The smallest step that makes sense for a width: 1, or a fraction where values are small.
export const grain = (width) => 10 ** Math.min(Math.floor(Math.log10(width / 260)), 0);
export const snap = (amount, step) => Number((Math.round(amount / step) * step).toPrecision(12));
