// What the walker asks a page; walking.py puts it into each one, beside axe-core.

const place = (node) => node.outerHTML.replace(/\s+/g, " ").slice(0, 120);
const trail = (node) => {
  const name = (each) => each.localName + (each.id ? `#${each.id}` : "") + [...each.classList].map((c) => `.${c}`).join("");
  const names = [];
  for (let each = node; each && each !== document.body; each = each.parentElement) names.unshift(name(each));
  return names.slice(-4).join(" > ");
};
const all = (selector) => [...document.querySelectorAll(selector)];

// What must not be in any page, what was sent for it, and where it leads to.
window.lookAround = () => {
  const wrong = all("script:not([src]), style, [style]:not([style=''])").map((node) => `inline: ${place(node)}`);
  for (const node of all("*")) {
    for (const { name } of node.attributes) if (name.startsWith("on")) wrong.push(`inline ${name}: ${place(node)}`);
  }
  for (const link of document.links) {
    if (!["http:", "https:", "mailto:", "tel:"].includes(link.protocol)) wrong.push(`link to ${link.protocol}: ${place(link)}`);
    const elsewhere = link.origin !== location.origin && link.protocol.startsWith("http");
    if (elsewhere && !link.relList.contains("noreferrer")) wrong.push(`tells where from: ${place(link)}`);
  }
  if (window.ran !== undefined) wrong.push("a hostile value ran");
  const loaded = ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind));
  const own = [...document.links].filter((link) => link.origin === location.origin && !link.hasAttribute("download"));
  return {
    wrong,
    bytes: loaded.filter((each) => each.initiatorType !== "fetch").reduce((sum, each) => sum + each.encodedBodySize, 0),
    links: own.map((link) => link.href),
  };
};

// Which parts make the page wider than the screen: the innermost that stick out and do not scroll by themselves.
window.sticksOut = () => {
  const { clientWidth, scrollWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return [];
  const scrolls = (node) =>
    node && node !== document.documentElement && (getComputedStyle(node).overflowX !== "visible" || scrolls(node.parentElement));
  const out = all("body *").filter((node) => node.getBoundingClientRect().right + scrollX > clientWidth + 1);
  const innermost = out.filter((node) => !out.some((each) => each.parentElement === node) && !scrolls(node.parentElement));
  const named = innermost.slice(0, 3).map((node) => `sticks out: ${trail(node)}: ${place(node)}`);
  return named.length ? named : [`${scrollWidth} px wide on a screen of ${clientWidth}`];
};

// What somebody with a screen reader, a keyboard or weak eyes would stumble over; of `rules` alone, where given.
window.askAxe = async (rules) => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"], ...(rules ? { runOnly: rules } : {}) });
  const told = ({ id, help }, { target, html, any }) =>
    `axe ${id}: ${help} at ${target.join(" ")}: ${html.replace(/\s+/g, " ").slice(0, 120)} ${any[0]?.message ?? ""}`;
  return violations.flatMap((each) => each.nodes.slice(0, 3).map((node) => told(each, node)));
};
