// The interactive API documentation: swagger-ui over the description that the server generates.
window.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  validatorUrl: null, // nothing is asked of another host
  queryConfigEnabled: false,
});
