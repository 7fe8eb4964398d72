// The interactive API documentation: swagger-ui over the description that the server generates. Light or dark is chosen
// by theme.js, which the live page shares; swagger-ui has the colours of both.
const dark = () => document.documentElement.classList.contains("dark-mode");
const colours = document.getElementById("colours");

function name() {
  colours.textContent = dark() ? "Light" : "Dark";
  colours.setAttribute("aria-label", dark() ? "Switch to light colours" : "Switch to dark colours");
}

colours.addEventListener("click", () => window.iotixTheme(dark() ? "light" : "dark"));
new MutationObserver(name).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
name();

window.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  filter: true,
  validatorUrl: null, // nothing is asked of another host
  queryConfigEnabled: false,
});
