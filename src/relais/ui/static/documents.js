// Reports, key objects and letters as something to read. Makes nodes, never HTML out of values.

const value = (json, tag) => json?.[tag]?.Value?.[0];
const meaning = (json, tag) => value(value(json, tag), "00080104") ?? "";
const CONTENT = "0040A730", CONCEPT = "0040A043", TYPE = "0040A040", RELATION = "0040A010";
const MAX_DEPTH = 24;

export function documentOf(json, url) {
  if (json["00420011"]) return letter(json, url);
  return json[CONTENT] ? report(json) : null;
}

function node(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function letter(json, url) {
  const type = value(json, "00420012") ?? "";
  const source = `${url}/rendered?accept=application/pdf`;
  if (type && type !== "application/pdf") return { nodes: [node("h2", value(json, "00420010") ?? "Document"), node("p", `A document of type ${type}; the DICOM file holds it.`)] };
  const frame = node("object");
  frame.type = "application/pdf";
  frame.data = source;
  frame.append(node("h2", value(json, "00420010") ?? "PDF document"), link(source, "Open the PDF"));
  return { nodes: [frame], isWhole: true };
}

function link(target, text) {
  const made = node("a", text);
  made.href = target;
  made.target = "_blank";
  made.rel = "noopener";
  return made;
}

function report(json) {
  const places = placesOf(json);
  const title = node("h2", meaning(json, CONCEPT) || "Report");
  if (value(json, "0040A493") === "VERIFIED") title.append(node("span", "verified", "mark-verified"));
  const items = json[CONTENT].Value ?? [];
  const context = items.filter((item) => value(item, RELATION) === "HAS OBS CONTEXT" && value(item, TYPE) === "PNAME");
  const day = value(json, "00080023") ?? "";
  const sub = [context.map((item) => person(value(item, "0040A123"))).join(", "), day.replace(/(\d{4})(\d{2})(\d{2})/, "$3/$2/$1")];
  return { nodes: [title, node("p", sub.filter(Boolean).join(" · "), "sub"), ...tree(items, 0, places)] };
}

const person = (name) => (name?.Alphabetic ?? name?.Ideographic ?? "").split("^").filter(Boolean).join(" ");

// Where the instances are that a document refers to (PS3.3 C.17.2.3): SOP Instance UID -> path.
function placesOf(json) {
  const places = new Map();
  for (const study of json["0040A375"]?.Value ?? []) for (const series of study["00081115"]?.Value ?? []) for (const one of series["00081199"]?.Value ?? []) {
    const uid = value(one, "00081155");
    places.set(uid, `/dicom-web/studies/${value(study, "0020000D")}/series/${value(series, "0020000E")}/instances/${uid}`);
  }
  return places;
}

function tree(items, depth, places) {
  if (depth > MAX_DEPTH) return [];
  const isShown = (item) => depth > 0 || !["HAS OBS CONTEXT", "HAS CONCEPT MOD"].includes(value(item, RELATION));
  return items.filter(isShown).flatMap((item) => content(item, depth, places));
}

function figure(item, places) {
  const reference = value(item, "00081199");
  const path = places.get(value(reference, "00081155"));
  if (value(item, TYPE) !== "IMAGE" || !path) return null;
  const number = value(reference, "00081160");
  const picture = node("img");
  picture.src = `${path}${number ? `/frames/${number}` : ""}/rendered?accept=image/jpeg&viewport=340,340`;
  picture.alt = "The image that is referred to";
  picture.addEventListener("error", () => picture.replaceWith(node("p", words(item))));
  return picture;
}

function content(item, depth, places) {
  const name = meaning(item, CONCEPT);
  const made = name ? [node("h4", name)] : [];
  const shown = figure(item, places);
  if (shown) return [...made, shown];
  const text = words(item);
  if (text) made.push(node("p", text));
  const children = item[CONTENT]?.Value ?? [];
  if (!children.length) return made;
  const box = node("section");
  box.append(...tree(children, depth + 1, places));
  return [...made, box];
}

function words(item) {
  switch (value(item, TYPE)) {
    case "TEXT": return value(item, "0040A160") ?? "";
    case "CODE": return meaning(item, "0040A168");
    case "PNAME": return person(value(item, "0040A123"));
    case "NUM": return amount(value(item, "0040A300"));
    case "DATE": return value(item, "0040A121") ?? "";
    case "TIME": return value(item, "0040A122") ?? "";
    case "DATETIME": return value(item, "0040A120") ?? "";
    case "UIDREF": return value(item, "0040A124") ?? "";
    case "SCOORD": return `${(value(item, "00700023") ?? "shape").toLowerCase()} on the image`;
    case "IMAGE": case "COMPOSITE": case "WAVEFORM": return `refers to ${value(value(item, "00081199"), "00081155") ?? "an instance"}`;
    default: return "";
  }
}

function amount(measured) {
  const unit = value(value(measured, "004008EA"), "00080100") ?? "";
  const found = value(measured, "0040A30A");
  return found === undefined ? "" : `${found} ${unit === "1" ? "" : unit}`.trim();
}
