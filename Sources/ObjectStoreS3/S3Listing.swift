package import Core
import NIOHTTP1
package import ObjectStore

/// One page of ListObjectsV2. Source: docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
struct S3Listing: Sendable {
  struct Object: Sendable {
    var key: String
    var size: Int
    var modified: Instant
    var tag: String?
  }
  struct Query: Sendable {
    var prefix: String
    /// `/` stops at folders; nil lists all below.
    var delimiter: String?
    var limit = 1000
    var continuation: String?
  }
  var objects: [Object] = []
  /// With the delimiter at their ends.
  var prefixes: [String] = []
  /// Of the next page; nil on the last one.
  var continuation: String?

  init(_ xml: S3XML) throws(Failure) {
    guard xml.name == "ListBucketResult" else {
      throw Failure(.corruptData, "the server's listing is a <\(xml.name.prefix(60))>, not a <ListBucketResult>")
    }
    for content in xml.all("Contents") {
      guard let key = content.text("Key"), let size = content.text("Size").flatMap({ Int($0) }), size >= 0 else {
        throw Failure(.corruptData, "an entry of the server's listing has no key or size")
      }
      let modified = content.text("LastModified").flatMap { Instant($0) } ?? Instant(seconds: 0)
      objects.append(Object(key: key, size: size, modified: modified, tag: content.text("ETag")))
    }
    for common in xml.all("CommonPrefixes") { if let prefix = common.text("Prefix") { prefixes.append(prefix) } }
    if xml.text("IsTruncated") == "true" {
      guard let next = xml.text("NextContinuationToken"), !next.isEmpty else {
        throw Failure(.corruptData, "the server's listing goes on and does not say where")
      }
      continuation = next
    }
  }
}

extension S3Store {
  /// One page of a listing.
  func page(_ query: S3Listing.Query, isInterruptible: Bool = true) throws(Failure) -> S3Listing {
    var request = S3Request(.GET, nil)
    request.query = [("list-type", "2"), ("max-keys", String(query.limit)), ("prefix", query.prefix)]
    if let delimiter = query.delimiter { request.query.append(("delimiter", delimiter)) }
    if let continuation = query.continuation { request.query.append(("continuation-token", continuation)) }
    request.landing = .text(limitBytes: 16 << 20)
    request.isInterruptible = isInterruptible
    let doing = "list '\(query.prefix)'"
    let response = try client.send(request, doing).response
    do throws(Failure) { return try S3Listing(try S3XML(parsing: response.text)) } catch {
      throw error.context("cannot \(doing) in \(name)")
    }
  }

  /// All pages, `each` called for one after the other.
  func pages(_ prefix: String, delimiter: String?, isInterruptible: Bool = true, _ each: (S3Listing) throws(Failure) -> Void)
    throws(Failure)
  {
    var query = S3Listing.Query(prefix: prefix, delimiter: delimiter)
    while true {
      let listing = try page(query, isInterruptible: isInterruptible)
      try each(listing)
      guard let next = listing.continuation else { return }
      // A server that gives the same page for ever.
      guard next != query.continuation else {
        throw Failure(.corruptData, "cannot list '\(prefix)' in \(name): the server gives the same page again and again")
      }
      query.continuation = next
    }
  }

  package func list(_ folder: String, recursive: Bool) throws(Failure) -> [ObjectInfo] {
    var found: [ObjectInfo] = []
    try pages(try folderPrefix(folder), delimiter: recursive ? nil : "/") { listing throws(Failure) in
      for object in listing.objects {
        guard let path = path(object.key) else { continue }
        found.append(ObjectInfo(path: path, size: object.size, modified: object.modified, tag: object.tag))
      }
      for prefix in listing.prefixes {
        guard let path = path(String(prefix.dropLast())) else { continue }
        found.append(ObjectInfo(path: path, size: 0, modified: Instant(seconds: 0), isFolder: true))
      }
    }
    return found.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
  }

  /// What the keys in `folder` begin with; `""` is the root.
  func folderPrefix(_ folder: String) throws(Failure) -> String {
    folder.isEmpty ? rootPrefix : try key(folder) + "/"
  }
}
