// Light or dark before anything is painted: what the user chose, else what the system says. No module, so that it runs
// before the first paint. The live page looks at data-theme, the documentation's viewer at the class dark-mode.
(() => {
  const KEY = "iotix-theme";
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  function apply(choice) {
    if (choice === "light" || choice === "dark") root.dataset.theme = choice;
    root.classList.toggle("dark-mode", (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark");
  }

  /** Chooses "light" or "dark", for later visits too where storage is allowed. */
  window.iotixTheme = (choice) => {
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // chosen for this visit only
    }
    apply(choice);
  };

  system.addEventListener("change", () => apply(null));
  window.addEventListener("storage", (e) => e.key === KEY && apply(e.newValue));
  try {
    apply(localStorage.getItem(KEY));
  } catch {
    apply(null); // storage may be forbidden; then the system decides
  }
})();
