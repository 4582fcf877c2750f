import Core

/// The OpenAPI document as one page: no script, no file from elsewhere.
enum DocsPage {
  static let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'"

  static func html(_ document: JSONValue) -> String {
    var groups = ""
    for tag in document["tags"]?.arrayValue ?? [] {
      let name = tag["name"]?.stringValue ?? ""
      var operations = ""
      for (path, item) in document["paths"]?.objectValue ?? JSONObject() {
        for (method, operation) in item.objectValue ?? JSONObject()
        where operation["tags"]?.arrayValue?.first?.stringValue == name {
          operations += self.operation(method.uppercased(), path, operation)
        }
      }
      groups +=
        "<h2 id=\"\(escape(name))\">\(escape(name))</h2><p>\(escape(tag["description"]?.stringValue ?? ""))</p>\(operations)"
    }
    var schemas = ""
    for (name, schema) in document["components"]?["schemas"]?.objectValue ?? JSONObject() {
      schemas += "<details id=\"schema-\(escape(name))\"><summary><code>\(escape(name))</code></summary>\(properties(schema))"
      if let example = schema["examples"]?.arrayValue?.first { schemas += "<pre>\(escape(example.text(pretty: true)))</pre>" }
      schemas += "</details>"
    }
    let info = document["info"]
    return """
      <!doctype html>
      <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark"><title>Moonlake API</title><style>\(style)</style></head><body>
      <header><h1>\(escape(info?["title"]?.stringValue ?? "")) API</h1>
      <p>\(escape(info?["description"]?.stringValue ?? "")) Version \(escape(info?["version"]?.stringValue ?? "")).
      As a document for programs: <a href="/openapi.json">/openapi.json</a>. <a href="/">The platform's page</a>.</p></header>
      <main>\(groups)<h2 id="schemas">Schemas</h2>\(schemas)</main></body></html>

      """
  }

  private static func operation(_ method: String, _ path: String, _ operation: JSONValue) -> String {
    var out = """
      <details class="operation" id="\(escape(operation["operationId"]?.stringValue ?? ""))"><summary>
      <span class="method \(method.lowercased())">\(method)</span> <code>\(escape(path))</code>
      <span class="summary">\(escape(operation["summary"]?.stringValue ?? ""))</span></summary>
      """
    if let about = operation["description"]?.stringValue { out += "<p>\(escape(about))</p>" }
    if let parameters = operation["parameters"]?.arrayValue {
      out += "<h3>Parameters</h3><table><tbody>"
      for parameter in parameters {
        let schema = parameter["schema"]
        var type = schema?["type"]?.stringValue ?? ""
        if let choices = schema?["enum"]?.arrayValue { type = choices.compactMap(\.stringValue).joined(separator: " | ") }
        let about = [parameter["description"]?.stringValue, schema?["description"]?.stringValue].compactMap { $0 }.joined(
          separator: " ")
        out +=
          "<tr><th><code>\(escape(parameter["name"]?.stringValue ?? ""))</code></th><td>\(escape(parameter["in"]?.stringValue ?? "")), "
          + "\(escape(type))</td><td>\(escape(about))</td></tr>"
      }
      out += "</tbody></table>"
    }
    if let bodies = operation["requestBody"]?["content"]?.objectValue {
      let kinds = bodies.map { type, body in
        type == "application/json" ? body["schema"].map(link) ?? "" : "<code>\(escape(type))</code>"
      }
      out += "<h3>Body</h3><p>\(kinds.joined(separator: " or "))</p>"
    }
    out += "<h3>Answers</h3><table><tbody>"
    for (status, response) in operation["responses"]?.objectValue ?? JSONObject() {
      let kind =
        response["content"]?.objectValue?.first { _ in true }.map { type, value in
          value["schema"].map(link) ?? "<code>\(escape(type))</code>"
        } ?? ""
      out += "<tr><th>\(escape(status))</th><td>\(kind)</td><td>\(escape(response["description"]?.stringValue ?? ""))</td></tr>"
    }
    return out + "</tbody></table></details>"
  }

  private static func link(_ schema: JSONValue) -> String {
    if let items = schema["items"], schema["type"]?.stringValue == "array" { return "list of \(link(items))" }
    guard let name = schema["$ref"]?.stringValue?.split(separator: "/").last else {
      return escape(schema["type"]?.stringValue ?? "any")
    }
    return "<a href=\"#schema-\(escape(String(name)))\">\(escape(String(name)))</a>"
  }

  private static func properties(_ schema: JSONValue) -> String {
    var out = schema["description"]?.stringValue.map { "<p>\(escape($0))</p>" } ?? ""
    let required = Set(schema["required"]?.arrayValue?.compactMap(\.stringValue) ?? [])
    guard let properties = schema["properties"]?.objectValue, !properties.isEmpty else { return out }
    out += "<table><tbody>"
    for (name, property) in properties {
      var type = link(property)
      if let choices = property["enum"]?.arrayValue {
        type = escape(choices.compactMap(\.stringValue).joined(separator: " | "))
      }
      if property["properties"] != nil { type += self.properties(property) }
      let about = (required.contains(name) ? "always. " : "") + (property["description"]?.stringValue ?? "")
      out += "<tr><th><code>\(escape(name))</code></th><td>\(type)</td><td>\(escape(about))</td></tr>"
    }
    return out + "</tbody></table>"
  }

  static func escape(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;").replacing("\"", with: "&quot;")
  }

  private static let style = """
    :root{--line:#8884;--accent:#2f6f9f}body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1.5rem}
    h1{margin:0}h2{margin:2rem 0 0;text-transform:capitalize}h3{margin:.8rem 0 .2rem;font-size:1em}p{margin:.4rem 0}
    details{border:1px solid var(--line);border-radius:8px;margin:.5rem 0;padding:.5rem .8rem;overflow-x:auto}
    summary{cursor:pointer}code,pre{font:13px/1.5 ui-monospace,monospace}pre{overflow-x:auto}
    .method{display:inline-block;min-width:4.2rem;font:bold 12px ui-monospace,monospace;color:var(--accent)}
    .method.post,.method.put,.method.patch{color:#2e7d32}.method.delete{color:#b3261e}.summary{opacity:.75;margin-left:.5rem}
    table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.25rem .8rem .25rem 0;border-top:1px solid var(--line)}
    th{white-space:nowrap}a{color:var(--accent)}
    @media(prefers-color-scheme:dark){:root{--accent:#8cc4ee}.method.post,.method.put,.method.patch{color:#81c784}.method.delete{color:#f2b8b5}}
    """
}
