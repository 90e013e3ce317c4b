// Reports, key objects and letters as something to read. Reports are read by the node, which escapes what they say.

import { value } from "./json.js";

const DOCUMENT = "1.2.840.10008.5.1.4.1.1.104."; // SOP Classes of Encapsulated Documents
const PDF = "application/pdf";
const VIEWPORT = "accept=image/jpeg&viewport=340,340";

// { nodes, isWhole }, null for what is neither. Throws what the node says against it.
export async function documentOf(json, url, reason) {
  if (json["00420011"]) return letter(json, url);
  return json["0040A730"] && value(json, "0040A040") ? report(url, reason) : null;
}

function node(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

function letter(json, url) {
  const kind = String(value(json, "00080016")).replace(DOCUMENT, ""), type = value(json, "00420012") ?? "";
  const title = node("h1", value(json, "00420010") ?? "Document");
  if (["2", "3", "4", "5"].includes(kind)) return { nodes: [title, node("p", `A document of type ${type || "unknown"}.`), link(`${url}/rendered`, "Open the document")] };
  if (kind !== "1" || (type && type.toLowerCase() !== PDF)) return { nodes: [title, node("p", `A document of type ${type || "unknown"}; the DICOM file holds it.`)] };
  const frame = node("object");
  frame.type = PDF;
  frame.data = `${url}/rendered?accept=${PDF}`;
  frame.append(title, link(frame.data, "Open the PDF"));
  return { nodes: [frame], isWhole: true };
}

function link(target, text) {
  const made = node("a", text);
  made.href = target;
  made.target = "_blank";
  made.rel = "noopener";
  return made;
}

async function report(url, reason) {
  const answer = await fetch(`${url}/rendered?accept=text/html`);
  if (!answer.ok) throw new Error(await reason(answer));
  const page = await answer.text();
  const { body } = new DOMParser().parseFromString(page.slice(page.indexOf("<body>")), "text/html"); // its style is its own
  for (const found of body.querySelectorAll("a")) lead(found);
  return { nodes: [...body.childNodes] };
}

// Make a link lead to where this page came from, and put the picture there that it leads to.
function lead(found) {
  const { pathname } = new URL(found.href);
  const target = pathname.slice(pathname.indexOf("/dicom-web/"));
  const made = link(target, found.textContent);
  found.replaceWith(made);
  if (!found.classList.contains("image")) return;
  const picture = node("img");
  picture.loading = "lazy";
  picture.src = `${target}?${VIEWPORT}`;
  picture.alt = "The image that is referred to";
  picture.addEventListener("error", () => picture.remove());
  made.parentElement.append(picture);
}
