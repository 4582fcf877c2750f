package import Core
import Crypto
import NIOHTTP1
import ObjectStore

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension S3Store {
  /// Objects of one DeleteObjects request.
  private static let batch = 1000
  /// Copies on their way at once.
  private static let copies = 8
  /// CopyObject copies no more than this.
  private static let mostCopiedBytes = 5 << 30

  package func delete(_ paths: [String]) throws(Failure) {
    var keys: [String] = []
    for path in paths { keys.append(try key(path)) }
    try delete(keys: keys, in: paths.count == 1 ? paths[0] : "\(paths.count) objects")
  }

  package func deleteTree(_ folder: String) throws(Failure) {
    try ObjectPath.check(folder)
    // Deleting while listing is safe: a page begins behind the last key of the one before.
    try pages(try folderPrefix(folder), delimiter: nil, isInterruptible: false) { listing throws(Failure) in
      try delete(keys: listing.objects.map(\.key), in: folder)
    }
  }

  /// Deletes objects by key, in batches. Source: docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
  /// - Throws: `IO_ERROR` naming the first object that could not be deleted.
  func delete(keys: [String], in folder: String) throws(Failure) {
    var rest = keys[...]
    while !rest.isEmpty {
      let some = rest.prefix(S3Store.batch)
      rest = rest.dropFirst(some.count)
      var text = "<Delete><Quiet>true</Quiet>"
      for key in some { text += "<Object><Key>\(S3XML.escaped(key))</Key></Object>" }
      text += "</Delete>"
      let bytes = Array(text.utf8)
      var request = S3Request(.POST, nil)
      request.query = [("delete", "")]
      request.setBody(bytes)
      request.fields = [
        ("content-md5", Data(Insecure.MD5.hash(data: bytes)).base64EncodedString()), ("content-type", "application/xml"),
      ]
      request.landing = .text(limitBytes: 4 << 20)
      request.isInterruptible = false
      let doing = "delete '\(folder)'"
      let response = try client.send(request, doing).response
      guard !response.text.isEmpty else { continue }
      let result: S3XML
      do throws(Failure) { result = try S3XML(parsing: response.text) } catch {
        throw error.context("cannot \(doing) in \(name)")
      }
      if result.name == "Error" { throw failure(response, doing) }
      if let error = result.all("Error").first(where: { $0.text("Code") != "NoSuchKey" }) {
        throw Failure(
          .ioError,
          "cannot \(doing) in \(name): \(error.text("Key") ?? "?") stays: \(error.text("Code") ?? "?") \(error.text("Message") ?? "")"
        )
      }
    }
  }

  /// Copies all objects, then deletes the old ones: not in one step, and twice the room for a while. Stopped half way, both folders
  /// have objects; a copy that fails is taken back.
  package func moveTree(_ folder: String, to target: String) throws(Failure) {
    try ObjectPath.check(folder)
    try ObjectPath.check(target)
    guard try head(target) == nil else { throw Failure(.alreadyExists, "'\(target)' exists already in \(name)") }
    let objects = try list(folder, recursive: true)
    guard !objects.isEmpty else { throw Failure(.fileNotFound, "folder '\(folder)' does not exist in \(name)") }
    for object in objects where object.size > S3Store.mostCopiedBytes {
      throw Failure(.unsupported, "'\(object.path)' in \(name) has more than 5 GiB, which the server does not copy in one step")
    }
    var pending: [(exchange: Exchange, path: String)] = []
    do throws(Failure) {
      var next = objects[...]
      while !next.isEmpty || !pending.isEmpty {
        if pending.count < S3Store.copies, let object = next.popFirst() {
          var request = S3Request(.PUT, try key(target + object.path.dropFirst(folder.count)))
          let source = "/" + client.settings.bucket + "/" + (try key(object.path))
          request.fields = [("x-amz-copy-source", PercentCoding.path(source))]
          pending.append((try client.start(request), object.path))
          continue
        }
        let doing = "copy '\(pending[0].path)' to '\(target)'"
        let response = try client.finish(pending[0].exchange, doing).response
        pending.removeFirst()
        // The status is sent before the copy is made: what failed is in the body.
        guard let xml = try? S3XML(parsing: response.text), xml.name == "CopyObjectResult" else {
          throw failure(response, doing)
        }
      }
    } catch {
      for (exchange, _) in pending { exchange.giveUp() }
      try? deleteTree(target)
      throw error
    }
    var keys: [String] = []
    for object in objects { keys.append(try key(object.path)) }
    try delete(keys: keys, in: folder)
  }
}

extension S3XML {
  /// Text as the content of an element. Control characters become references.
  static func escaped(_ text: String) -> String {
    var out = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": out += "&amp;"
      case "<": out += "&lt;"
      case ">": out += "&gt;"
      case "\"": out += "&quot;"
      default:
        if scalar.value < 32 { out += "&#x\(String(scalar.value, radix: 16));" } else { out.unicodeScalars.append(scalar) }
      }
    }
    return out
  }
}
