// What every page may use: copying, pictures that are missing, forms that send themselves, parts that stay current.

const LIVE_MS = 5000;
const WAIT_MS = 3000;
const TYPING_MS = 800;
const FOCUS = "relais.focus"; // the place in the form from which it was sent, for the page that follows

for (const image of document.querySelectorAll(".thumb img")) {
  const missing = () => { image.closest(".thumb").classList.add("empty"); image.remove(); };
  if (image.complete && image.naturalWidth === 0 && image.currentSrc) missing();
  else image.addEventListener("error", missing);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const code = button.previousElementSibling;
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1600);
});

const filters = document.querySelector("[data-filters]");
if (filters) {
  const send = () => {
    for (const input of filters.querySelectorAll("input")) if (!input.value) input.disabled = true;
    filters.submit();
  };
  filters.addEventListener("submit", (event) => { event.preventDefault(); send(); });
  let soon = 0;
  filters.addEventListener("change", ({ target }) => {
    clearTimeout(soon);
    if (!target.matches("[type=checkbox], [type=date]")) return;
    sessionStorage.setItem(FOCUS, [...filters.elements].indexOf(target));
    if (target.type === "checkbox") send();
    else if (isWhole(target)) soon = setTimeout(send, TYPING_MS);
  });
  filters.elements[sessionStorage.getItem(FOCUS) ?? -1]?.focus({ preventScroll: true });
  sessionStorage.removeItem(FOCUS);
  addEventListener("pageshow", () => { for (const input of filters.querySelectorAll("input")) input.disabled = false; });
}

// Who types a date changes it with every key, and has reached the year 2 before 2024.
function isWhole(date) {
  return date.value ? date.value >= "1000" : !date.validity.badInput;
}

const live = document.querySelector("[data-live]");
if (live) setInterval(async () => {
  if (document.hidden) return;
  const fresh = await page();
  const part = fresh?.querySelector("[data-live]");
  if (part) live.replaceChildren(...part.childNodes);
}, LIVE_MS);

if (document.querySelector("[data-wait-for-studies]")) setInterval(async () => {
  if (!document.hidden && (await page())?.querySelector("[data-filters]")) location.reload();
}, WAIT_MS);

async function page() {
  try {
    const answer = await fetch(location.href);
    return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  } catch {
    return null;
  }
}

const dot = document.querySelector("[data-ready]");
if (dot) fetch("/health/ready").then((answer) => answer.json()).then((found) => found.status === "ready", () => false).then((ready) => {
  dot.classList.add(ready ? "ok" : "bad");
  dot.parentElement.title = ready ? "Both doors, index and storage answer" : "The node is not ready; /health/ready says why";
});
