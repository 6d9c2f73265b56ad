// Light or dark: as the system has it, until the switch is pressed; the server writes the choice into later pages.
const KEPT = "path=/console; max-age=31536000; samesite=strict";
const dark = matchMedia("(prefers-color-scheme: dark)");

function shown() {
  return document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
}

/** Lets a button switch between the two. */
export function begin(button) {
  const name = () => { button.textContent = shown() === "dark" ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    const theme = shown() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    document.cookie = `tokhub_theme=${theme}; ${KEPT}`;
    name();
    dispatchEvent(new CustomEvent("theme"));
  });
  dark.addEventListener("change", () => { name(); dispatchEvent(new CustomEvent("theme")); });
  name();
  button.hidden = false;
}
