// Keeps the parts marked data-live="SECONDS" fresh: the page is asked for again and those parts are exchanged.

export function keepFresh(enhance) {
  const live = () => [...document.querySelectorAll("[data-live][id]")];
  if (live().length === 0) return;
  const every = Math.min(...live().map((part) => Number(part.dataset.live))) * 1000;
  setInterval(async () => {
    if (document.hidden || live().some((part) => part.contains(document.activeElement))) return;
    let answer;
    try {
      answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
    } catch {
      return; // The server restarts or the network is gone: the next turn tries again.
    }
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of live()) {
      const next = fresh.getElementById(part.id);
      if (next === null) continue;
      enhance(next);
      if (next.innerHTML === part.innerHTML) continue;
      part.replaceWith(document.adoptNode(next));
    }
  }, every);
}
