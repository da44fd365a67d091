/* A classic script in the head, so that the chosen theme stands before the first paint. Without a choice the system's
   holds. Tells the page of a change by the event `livefolio:theme`. */
(function () {
  const root = document.documentElement;
  const KEY = "livefolio.theme";

  function remembered() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is switched off
    }
  }

  function isDark() {
    return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function toggle() {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem(KEY, root.dataset.theme);
    } catch {
      // holds until the page goes
    }
    tell();
  }

  function tell() {
    document.dispatchEvent(new Event("livefolio:theme"));
  }

  const chosen = remembered();
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest("[data-action=theme]")) toggle();
  });
})();
