// A person's page: what happens now slides in on top, older activity comes when the reader is near it.
import { enhanceCopy } from "./copy.js";
import { localTimes } from "./times.js";

const NEAR = "800px";
const MOST = 2_000; // Entries; from then on older ones are a page of their own.
const AGAIN = 15_000;
const SHINE = 5_000;

const timeline = document.getElementById("timeline");
const sessions = document.getElementById("sessions");
const entries = (within) => [...within.querySelectorAll(".entry")];

function enhance(root) {
  localTimes(root);
  enhanceCopy(root);
}

// Puts a piece of the timeline where it belongs; gives what was not there before. Both are newest first.
function merge(piece) {
  const known = new Map(entries(sessions).map((each) => [each.dataset.key, each]));
  const added = [];
  let below = null;
  for (const group of [...piece.querySelectorAll(".session")].reverse()) {
    const rows = entries(group);
    const there = rows.map((row) => known.get(row.dataset.key)).find((row) => row !== undefined);
    added.unshift(...rows.filter((row) => !known.has(row.dataset.key)));
    if (there === undefined) {
      if (below === null) sessions.append(group);
      else below.before(group);
      below = group;
      continue;
    }
    const section = there.closest(".session");
    const list = section.querySelector(".entries");
    const rest = entries(section).filter((row) => !rows.some((each) => each.dataset.key === row.dataset.key));
    list.replaceChildren(...rows.map((row) => known.get(row.dataset.key) ?? row), ...rest);
    section.querySelector(".session-head").replaceWith(group.querySelector(".session-head"));
    below = section;
  }
  return added;
}

function parsed(html) {
  const made = new DOMParser().parseFromString(html, "text/html");
  enhance(made);
  return made;
}

function showHead(html) {
  const old = document.getElementById("person-head");
  if (old.contains(document.activeElement)) return; // Somebody is about to copy something.
  old.replaceWith(document.adoptNode(parsed(html).getElementById("person-head")));
}

function follow(address) {
  let stream = null;
  let again = 0;
  let mark = null;

  const close = () => {
    clearTimeout(again);
    stream?.close();
    stream = null;
    document.getElementById("live-state").hidden = true;
  };

  function open() {
    close();
    const where = new URL(address, location.href);
    if (mark !== null) where.searchParams.set("mark", mark);
    stream = new EventSource(where);
    stream.addEventListener("open", () => {
      document.getElementById("live-state").hidden = false;
    });
    stream.addEventListener("changed", (event) => {
      mark = event.lastEventId;
      const { head, timeline: html } = JSON.parse(event.data);
      showHead(head);
      const added = merge(parsed(html));
      if (added.length > 0) document.getElementById("timeline-empty")?.remove();
      for (const row of added) {
        row.classList.add("is-new");
        setTimeout(() => row.classList.remove("is-new"), SHINE);
      }
      const names = added.slice(0, 3).map((row) => row.querySelector(".entry-name").textContent.trim());
      if (names.length > 0) document.getElementById("live-said").textContent = `New: ${names.join(", ")}`;
    });
    stream.addEventListener("gone", () => location.reload());
    stream.addEventListener("error", () => {
      document.getElementById("live-state").hidden = true;
      if (stream?.readyState === EventSource.CLOSED) again = setTimeout(open, AGAIN); // Refused, not broken off.
    });
  }

  // A browser has six connections for a site: a tab that nobody looks at holds none.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  if (!document.hidden) open();
}

function loadOlder() {
  let busy = false;
  const watch = new IntersectionObserver(
    async (seen) => {
      if (busy || !seen.some((each) => each.isIntersecting)) return;
      busy = true;
      const pager = document.getElementById("older");
      try {
        const answer = await fetch(pager.querySelector("a").href, { redirect: "error" });
        if (answer.ok) show(pager, parsed(await answer.text()));
      } catch {
        watch.disconnect(); // The link is still there.
      }
      busy = false;
    },
    { rootMargin: NEAR },
  );

  function show(pager, page) {
    watch.disconnect();
    const last = sessions.lastElementChild;
    const groups = [...page.querySelectorAll("#sessions > .session")];
    if (groups.length > 0 && last !== null && groups[0].dataset.key === last.dataset.key) {
      last.querySelector(".entries").append(...entries(groups.shift()));
    }
    sessions.append(...groups);
    const next = page.getElementById("older");
    if (next === null) {
      pager.remove();
      return;
    }
    pager.replaceWith(next);
    if (isOwn(next)) watch.observe(next);
  }

  // Looking further back for what a filter lets through takes long: the reader asks for that.
  const isOwn = (pager) => pager.dataset.further === undefined && entries(sessions).length < MOST;

  const pager = document.getElementById("older");
  if (pager !== null && isOwn(pager)) watch.observe(pager);
}

document.querySelector(".person-tabs [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
if (timeline?.dataset.follow) follow(timeline.dataset.follow);
if (sessions !== null) loadOlder();
