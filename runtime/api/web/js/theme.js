// Light or dark before anything is painted: what the user chose, else what the system says. No module, so that it runs
// before the first paint.
(() => {
  let choice = null;
  try {
    choice = localStorage.getItem("iotix-theme");
  } catch {
    // storage may be forbidden; then the system decides
  }
  if (choice === "light" || choice === "dark") document.documentElement.dataset.theme = choice;
})();
