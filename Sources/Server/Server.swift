// Server: the REST API, its OpenAPI document and docs page, and the platform's page. Knows no Lua.
//   MoonlakeServer.swift    configuration, start, graceful end
//   RouteTable.swift        the routes; document, docs page and 405 answers come from it
//   Routes/                 what each route does
//   Responder.swift         one request from head to answer: Host and Origin rules, errors, metrics
//   ErrorResponse.swift     the only place that knows which status number an error code has
//   ConnectionGuard.swift   time limits of a connection, errors of the HTTP parser
