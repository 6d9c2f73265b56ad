// A form is sent once: its button says so until the answer is there.
export function begin() {
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button || event.defaultPrevented) return;
    if (button.dataset.sent) { event.preventDefault(); return; }
    button.dataset.sent = "yes";
    button.setAttribute("aria-disabled", "true");
  });
  // Pages that come back out of the browser's memory were never sent.
  addEventListener("pageshow", () => {
    for (const button of document.querySelectorAll("[data-sent]")) {
      delete button.dataset.sent;
      button.removeAttribute("aria-disabled");
    }
  });
}
