// Everything works without this file; it makes times local, keys copyable, lists live and the debugger run.
import { enhanceCopy } from "./copy.js";
import { followSource } from "./debugger.js";
import { keepFresh } from "./live.js";
import { localTimes } from "./times.js";
import { showWaiting } from "./waiting.js";

function enhance(root) {
  localTimes(root);
  enhanceCopy(root);
}

document.documentElement.classList.add("has-script");
enhance(document);
setInterval(() => localTimes(document), 30_000);
keepFresh(enhance);
followSource();
showWaiting();

for (const select of document.querySelectorAll("select[data-submit]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}
