// The form works without this file: each button is answered with the whole page. With it the parts that have changed
// are exchanged in place, and the line and the JSON follow what is typed.

const form = document.getElementById("definition");
const json = () => document.getElementById("json");
let turn = 0;
let typing = 0;
let redraw = false;
let exchanging = false;
let straight = false;
let held = false;
let jsonIsOurs = true;

// A button that is exchanged between its press and its release is never clicked.
addEventListener("pointerdown", () => (held = true), true);
addEventListener("keydown", (event) => (held ||= event.key === " "), true);
for (const end of ["pointerup", "pointercancel", "keyup"]) addEventListener(end, () => (held = false), true);

async function released() {
  for (let tries = 0; held && tries < 50; tries++) await new Promise((go) => setTimeout(go, 20)); // A list may keep the release to itself.
  await new Promise((go) => setTimeout(go)); // The click comes after the release.
}

async function ask(action) {
  const mine = ++turn;
  const body = new URLSearchParams(new FormData(form));
  body.set("do", action);
  body.set("live", "1"); // What is offered in lists is here already.
  try {
    const answer = await fetch(form.action, { method: "POST", body, redirect: "error" });
    const text = await answer.text();
    await released();
    if (mine !== turn) return undefined; // Something newer was asked for.
    return answer.ok ? new DOMParser().parseFromString(text, "text/html") : null;
  } catch {
    return mine === turn ? null : undefined;
  }
}

function exchange(fresh, id) {
  const here = document.getElementById(id);
  const next = fresh.getElementById(id);
  if (!here || !next || here.innerHTML === next.innerHTML) return;
  exchanging = true; // A field that was typed in says that it has changed when it is taken away.
  here.replaceChildren(...document.adoptNode(next).childNodes);
  exchanging = false;
}

function exchangeTree(fresh, added) {
  const { name, value } = document.activeElement ?? {};
  const chosen = [...form.querySelectorAll("[name$='.new']")].map((select) => [select.name, select.value]);
  exchange(fresh, "tree");
  for (const [each, value] of chosen) {
    if (form.elements[each]) form.elements[each].value = value;
  }
  const part = added && [...(document.getElementById(added)?.querySelectorAll(":scope > .inside > li > .part") ?? [])].at(-1);
  const same = () => (name === "do" ? [...form.querySelectorAll("[name=do]")].find((each) => each.value === value) : form.elements[name]);
  const focus = part ? part.querySelector("select, input:not([type=hidden])") : name && same();
  if (focus instanceof HTMLElement) focus.focus({ preventScroll: !part });
}

function follow(fresh) {
  exchange(fresh, "line");
  if (jsonIsOurs) json().value = fresh.getElementById("json").value;
}

async function press(button) {
  const [action, path] = button.value.split(" ");
  const tree = document.getElementById("tree");
  tree.inert = action !== "count"; // What would be typed meanwhile would be lost.
  const fresh = await ask(button.value);
  tree.inert = false;
  if (fresh === undefined) return;
  if (fresh === null) {
    straight = true; // The browser's own way tells what is wrong.
    return form.requestSubmit(button);
  }
  if (action === "json") jsonIsOurs = fresh.querySelector("#json-faults .fault") === null;
  document.getElementById("tried").value = fresh.getElementById("tried").value;
  exchangeTree(fresh, action === "add" ? path : undefined);
  follow(fresh);
  exchange(fresh, "json-faults");
  if (action !== "count") return age();
  document.getElementById("preview").classList.remove("is-old");
  exchange(fresh, "preview");
}

function age() {
  const preview = document.getElementById("preview");
  preview.querySelector(".notice")?.remove();
  preview.classList.toggle("is-old", preview.childElementCount > 0);
}

async function look() {
  age();
  const withTree = redraw;
  const fresh = await ask("show");
  if (!fresh) return;
  if (withTree) {
    redraw = false;
    exchangeTree(fresh);
  }
  follow(fresh);
}

form.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (straight || !button || button.name !== "do" || ["save", "draft"].includes(button.value)) return;
  event.preventDefault();
  clearTimeout(typing);
  press(button);
});

form.addEventListener("input", (event) => {
  if (event.target === json()) {
    jsonIsOurs = false;
    return;
  }
  if (!event.target.name.startsWith("c.") || event.target.name.endsWith(".new")) return;
  clearTimeout(typing);
  turn++; // An answer that is under way does not know of this.
  typing = setTimeout(look, 250);
});

form.addEventListener("change", (event) => {
  if (exchanging) return;
  const wrong = document.querySelector("#tree .fault") !== null;
  if (!event.target.matches("[data-redraw]") && !(wrong && event.target.name.startsWith("c."))) return;
  clearTimeout(typing);
  redraw = true;
  look();
});

// What was chosen before this ran, or what the browser brought back, is caught up with.
function isChanged(field) {
  if (!field.matches("select")) return field.type !== "hidden" && field.value !== field.defaultValue;
  const options = [...field.options];
  return !field.name.endsWith(".new") && field.value !== (options.find((each) => each.defaultSelected) ?? options[0]).value;
}

addEventListener("pageshow", () => {
  if (![...form.querySelectorAll("#tree select, #tree input")].some(isChanged)) return;
  redraw = true;
  look();
});
