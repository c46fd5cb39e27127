// A thin bar at the top while the next page is on its way; what comes at once shows none.

const SOON = 200; // ms
const AT_LAST = 30_000; // Something else came of it: a download, or an answer without a page.

let bar;
let timers = [];

function stop() {
  timers.forEach(clearTimeout);
  bar?.remove();
  bar = undefined;
}

function start() {
  stop();
  const show = () => {
    bar = document.createElement("div");
    bar.className = "waiting";
    bar.setAttribute("role", "progressbar");
    bar.setAttribute("aria-label", "Loading");
    document.body.prepend(bar);
  };
  timers = [setTimeout(show, SOON), setTimeout(stop, AT_LAST)];
}

function leads(link, event) {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return false;
  if (link.target || link.hasAttribute("download") || link.origin !== location.origin) return false;
  return link.pathname !== location.pathname || link.search !== location.search || !link.hash;
}

export function showWaiting() {
  addEventListener("click", (event) => {
    const link = event.target instanceof Element && event.target.closest("a[href]");
    if (link && !event.defaultPrevented && leads(link, event)) start();
  });
  addEventListener("submit", (event) => {
    if (!event.defaultPrevented) start();
  });
  addEventListener("pageshow", stop); // Back to a page that the browser kept as it was left.
}
