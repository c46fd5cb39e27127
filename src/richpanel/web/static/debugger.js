// The live debugger: what arrives comes as server-sent events, newest on top; 500 are kept.
import { localTimes } from "./times.js";

const MOST = 500;
const AGAIN = 5_000;

// Indents JSON as text, so that numbers keep the digits that they came with.
export function indented(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  let depth = 0;
  let inString = false;
  let out = "";
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    if (inString) {
      out += letter;
      if (letter === "\\") out += text[++at];
      else if (letter === '"') inString = false;
    } else if (letter === '"') {
      inString = true;
      out += letter;
    } else if (letter === "{" || letter === "[") {
      const rest = text.slice(at + 1).match(/^\s*[}\]]/);
      out += letter;
      if (rest !== null) {
        out += rest[0].trim();
        at += rest[0].length;
      } else {
        out += "\n" + "  ".repeat(++depth);
      }
    } else if (letter === "}" || letter === "]") {
      out += "\n" + "  ".repeat(--depth) + letter;
    } else if (letter === ",") {
      out += ",\n" + "  ".repeat(depth);
    } else if (letter === ":") {
      out += ": ";
    } else if (!/\s/.test(letter)) {
      out += letter;
    }
  }
  return out;
}

export function followSource() {
  const feed = document.getElementById("feed");
  if (feed === null) return;
  const part = (name) => document.getElementById(`feed-${name}`);
  const raws = new WeakMap();
  let after = feed.dataset.after;
  let raw = false;
  let stream = null;
  let again = 0;

  const status = (text, tone) => {
    part("status").textContent = text;
    part("status").className = `pill pill-${tone}`;
  };
  const body = (row) => row.querySelector("[data-is=body]");
  const write = (row) => {
    if (!raws.has(row)) raws.set(row, body(row).textContent);
    if (!row.querySelector("details").open) return;
    body(row).textContent = raw ? raws.get(row) : indented(raws.get(row));
  };
  const sift = (row) => {
    const wanted = part("search").value.trim().toLowerCase();
    const whole = () => [...row.querySelectorAll("summary, [data-is=id]")].map((each) => each.textContent).join(" ") + raws.get(row);
    row.hidden = wanted !== "" && !whole().toLowerCase().includes(wanted);
  };
  const tidy = () => {
    while (feed.children.length > MOST) feed.lastElementChild.remove();
    part("empty").hidden = [...feed.children].some((row) => !row.hidden);
  };

  function add(message) {
    if (feed.querySelector(`[data-place="${message.place}"]`) !== null) return;
    const row = part("row").content.firstElementChild.cloneNode(true);
    const put = (name, text) => {
      const place = row.querySelector(`[data-is=${name}]`);
      if (text === null) place.remove();
      else place.textContent = text;
    };
    row.dataset.place = message.place;
    put("type", message.type ?? "?");
    put("event", message.event ?? message.messageId ?? "Unreadable");
    put("code", message.code);
    put("person", message.person ?? "");
    put("reason", message.reason);
    put("body", message.body);
    row.querySelector("time").dateTime = message.at;
    if (message.messageId === null) {
      row.querySelector(".feed-link").remove();
    } else {
      put("id", message.messageId);
      const query = new URLSearchParams({ source: feed.dataset.source });
      row.querySelector("a").href = `/messages/${encodeURIComponent(message.messageId)}?${query}`;
    }
    localTimes(row);
    ready(row);
    feed.prepend(row);
  }

  function ready(row) {
    write(row);
    row.querySelector("details").addEventListener("toggle", () => write(row));
    sift(row);
  }

  function open() {
    clearTimeout(again);
    status("Connecting", "quiet");
    stream = new EventSource(`${feed.dataset.events}?after=${encodeURIComponent(after)}`);
    stream.addEventListener("open", () => status("Live", "good"));
    stream.addEventListener("messages", (event) => {
      after = event.lastEventId;
      const { messages, skipped } = JSON.parse(event.data);
      messages.forEach(add);
      if (skipped) part("skipped").hidden = false;
      tidy();
    });
    stream.addEventListener("error", () => {
      status("Connecting", "warn");
      if (stream.readyState === EventSource.CLOSED) again = setTimeout(open, AGAIN); // Refused, not broken off.
    });
  }

  function close() {
    clearTimeout(again);
    stream.close();
    status("Paused", "warn");
  }

  part("pause").addEventListener("click", (event) => {
    const pausing = event.target.getAttribute("aria-pressed") === "false";
    event.target.setAttribute("aria-pressed", String(pausing));
    event.target.textContent = pausing ? "Go on" : "Pause";
    if (pausing) close();
    else open();
  });
  part("raw").addEventListener("click", (event) => {
    raw = !raw;
    event.target.setAttribute("aria-pressed", String(raw));
    for (const row of feed.children) write(row);
  });
  part("search").addEventListener("input", () => {
    for (const row of feed.children) sift(row);
    tidy();
  });
  for (const row of feed.children) ready(row);
  addEventListener("pagehide", () => stream.close());
  open();
}
