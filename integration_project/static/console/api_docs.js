// Shows the OpenAPI document with Swagger UI. A key that is typed in is forgotten with the page.
"use strict";

SwaggerUIBundle({
    url: document.getElementById("docs").dataset.schema,
    dom_id: "#docs",
    deepLinking: true,
    persistAuthorization: false,
    validatorUrl: null,
});
