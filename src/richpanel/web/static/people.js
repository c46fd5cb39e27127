// The lists of people: search as you type, and keys to go through the rows. Without it the form is sent as forms are.
import { localTimes } from "./times.js";

const WAIT = 180;

const form = document.getElementById("list-form");
const search = form.elements.namedItem("q");

// Writes the form as its address: without what is empty, columns as one parameter.
function address() {
  const wanted = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (value === "" || (name === "sort" && value === "-lastSeen")) continue;
    if (name === "columns" && wanted.has(name)) wanted.set(name, `${wanted.get(name)},${value}`);
    else wanted.set(name, value);
  }
  if (new URLSearchParams(location.search).get("columns") === null) wanted.delete("columns"); // The usual ones.
  const query = wanted.toString();
  return query === "" ? form.action : `${form.action}?${query}`;
}

let asking = null;

async function show() {
  asking?.abort();
  asking = new AbortController();
  const where = address();
  const old = document.getElementById("people");
  old.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(where, { signal: asking.signal, redirect: "error" });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    localTimes(page);
    for (const id of ["people", "export-links"]) {
      const next = page.getElementById(id);
      if (next !== null) document.getElementById(id).replaceWith(document.adoptNode(next));
    }
    history.replaceState(null, "", where);
    const kept = document.getElementById("view-query");
    if (kept !== null) kept.value = new URL(where, location.href).search.slice(1);
    const found = document.querySelectorAll("#people tbody tr").length;
    const said = document.getElementById("list-said");
    if (said !== null) said.textContent = found === 0 ? "Nobody found" : found === 1 ? "One person listed" : `${found} people listed`;
  } catch (error) {
    if (error.name === "AbortError") return; // Another letter was typed meanwhile.
    old.removeAttribute("aria-busy");
  }
}

let waiting = 0;
search.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(show, WAIT);
});

function step(by) {
  const links = [...document.querySelectorAll("#people .row-link")];
  const at = links.indexOf(document.activeElement);
  const next = links[at === -1 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1)];
  next?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, [contenteditable]")) return;
  if (event.key === "/") {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
});
