// Copy buttons: <button class="copy" data-copy="ID of the element whose text is copied">.

export function enhanceCopy(root) {
  for (const button of root.querySelectorAll("button[data-copy]")) {
    button.addEventListener("click", async () => {
      const label = button.querySelector("span");
      const before = label.textContent;
      const wanted = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(wanted.textContent.trim());
        label.textContent = "Copied";
      } catch { // Not on https: the reader copies what is now selected.
        label.textContent = "Selected: press Ctrl+C";
        getSelection().selectAllChildren(wanted);
      }
      button.dataset.done = "";
      button.title = label.textContent;
      setTimeout(() => {
        delete button.dataset.done;
        button.title = label.textContent = before;
      }, 2000);
    });
  }
}
