// The page's own script. It keeps four promises that Gradio leaves open:
// colors before the first paint, sliders that answer to the keyboard, focus
// that stays where it was when a list is drawn anew, and the open tab in the
// address.
(() => {
  const KEY = "likeness-studio-scheme";
  const media = window.matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    const asked = new URLSearchParams(location.search).get("__theme");
    if (asked === "dark" || asked === "light") return asked;
    try { return localStorage.getItem(KEY) || window.studioScheme; } catch { return window.studioScheme; }
  };
  const apply = () => {
    const scheme = chosen();
    const dark = scheme === "dark" || (scheme !== "light" && media.matches);
    document.documentElement.classList.toggle("dark", dark);
    document.documentElement.style.colorScheme = dark ? "dark" : "light";
    if (document.body) document.body.classList.toggle("dark", dark);
  };
  window.studioChooseScheme = (scheme) => {
    try { localStorage.setItem(KEY, scheme); } catch { /* private window: holds for this page */ }
    window.studioScheme = scheme;
    apply();
  };
  window.studioChosenScheme = chosen;
  media.addEventListener("change", apply);
  apply();
  document.addEventListener("DOMContentLoaded", () => {
    document.documentElement.lang = "en";
    apply();
    // Gradio sets the class from the system once when it mounts; what the person chose wins.
    new MutationObserver(() => {
      const scheme = chosen();
      const dark = scheme === "dark" || (scheme !== "light" && media.matches);
      if (document.body.classList.contains("dark") !== dark) apply();
    }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  });

  // The open tab stands in the address: a refresh, a bookmark and a link find it again.
  const TAB = /^tab-([a-z]+)-button$/;
  let asked = location.hash.slice(1);
  const button = (name) => (/^[a-z]+$/.test(name) ? document.getElementById(`tab-${name}-button`) : null);
  const openAsked = () => {
    const found = asked && button(asked);
    if (!found) return;
    asked = "";
    if (found.getAttribute("aria-selected") !== "true") found.click();
  };
  new MutationObserver((changes) => {
    if (asked) return;
    for (const { target } of changes) {
      const name = target.getAttribute("aria-selected") === "true" && TAB.exec(target.id)?.[1];
      if (name && location.hash.slice(1) !== name) history.replaceState(null, "", `#${name}`);
    }
  }).observe(document.documentElement, { attributes: true, attributeFilter: ["aria-selected"], subtree: true });
  window.addEventListener("hashchange", () => { asked = location.hash.slice(1); openAsked(); asked = ""; });

  // Gradio's slider tells of its release only to a pointer.
  const STEPS = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End"]);
  let pending = 0;
  document.addEventListener("keyup", (event) => {
    const input = event.target;
    if (!(input instanceof HTMLInputElement)) return;
    const range = input.type === "range" && STEPS.has(event.key);
    const number = input.dataset.testid === "number-input" && (event.key === "Enter" || STEPS.has(event.key));
    if (!range && !number) return;
    clearTimeout(pending);
    pending = setTimeout(() => input.dispatchEvent(new PointerEvent("pointerup", { bubbles: true })), 120);
  });

  // Folds inside such lists stay open, too.
  const opened = new Set();
  document.addEventListener("toggle", (event) => {
    const key = event.target.dataset?.key;
    if (key && event.target.isConnected) opened[event.target.open ? "add" : "delete"](key);
  }, true);
  const reopen = () => opened.forEach((key) => {
    document.querySelectorAll(`details[data-key="${CSS.escape(key)}"]:not([open])`).forEach((d) => { d.open = true; });
  });

  // Cards are drawn anew when their rows change: put the focus back on the same one.
  let last = null;
  document.addEventListener("focusin", (event) => {
    const card = event.target.closest?.("[data-key]");
    last = card ? card.dataset.key : null;
  });
  new MutationObserver(() => {
    if (asked) openAsked();
    if (opened.size) reopen();
    if (last && document.activeElement === document.body) {
      document.querySelector(`[data-key="${CSS.escape(last)}"]`)?.focus({ preventScroll: true });
    }
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
