package import Core
import LanceProto
import ObjectStore

/// Rules for names of tags and branches, those of the official library: letters, digits and `. - _`, in branch names `/` between parts.
enum RefName {
  /// - Throws: `INVALID_ARGUMENT` that says what is wrong.
  static func check(_ name: String, what: String, allowsParts: Bool = false) throws(Failure) {
    func fail(_ why: String) -> Failure { Failure(.invalidArgument, "\(what) '\(name)' is not possible: \(why)") }
    guard !name.isEmpty, name.utf8.count <= 200 else { throw fail("it needs 1 to 200 characters") }
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 1 || allowsParts else { throw fail("'/' is not allowed") }
    for part in parts {
      guard !part.isEmpty else { throw fail("a part is empty") }
      let isPlain = part.utf8.allSatisfy { byte in
        (byte | 32 >= 97 && byte | 32 <= 122) || (byte >= 48 && byte <= 57) || [45, 46, 95].contains(byte)
      }
      guard isPlain else { throw fail("only letters, digits, '.', '-' and '_' are allowed") }
      guard !part.hasPrefix("."), !part.hasSuffix("."), !part.contains("..") else {
        throw fail("a dot stands at an end or twice")
      }
      guard !part.hasSuffix(".lock") else { throw fail("it ends with '.lock'") }
    }
  }
}

/// Tags are files `_refs/tags/<name>.json`; setting one makes no version.
extension TableLocation {
  /// Makes a tag, or moves it. What others keep in its file stays.
  /// - Throws: `INVALID_ARGUMENT` for a name that is not possible, `VERSION_NOT_FOUND`, `UNSUPPORTED` on a branch.
  @discardableResult
  package func setTag(_ tag: String, _ version: TableVersion = .latest) throws(Failure) -> TagInfo {
    try RefName.check(tag, what: "tag")
    let (number, naming) = try resolve(version)
    // Held until the tag is there: a cleanup removes the version either before, or not at all.
    let (file, pin) = try hold(number, naming)
    defer { withExtendedLifetime(pin) {} }
    guard !file.manifest.hasBranch else {
      throw Failure(.unsupported, "table '\(name)' is a branch; tags on branches are not supported")
    }
    let place = path("\(TableLocation.tags)/\(tag).json")
    var json = (try? store.read(place)).flatMap { try? JSONValue(parsing: $0.array()).objectValue } ?? JSONObject()
    let now = JSONValue.string(Instant.now.text(fractionDigits: 6))
    let manifestPath = manifestPath(number, naming)
    json["branch"] = .null
    json["version"] = .int(Int64(clamping: number))
    if json["createdAt"] == nil { json["createdAt"] = now }
    json["updatedAt"] = now
    json["manifestSize"] = .int(Int64(try store.head(manifestPath)?.size ?? 0))
    if json["metadata"] == nil { json["metadata"] = .object(JSONObject()) }
    try store.put(place, JSONValue.object(json).utf8())
    return TagInfo(name: tag, version: number)
  }

  /// - Throws: `VERSION_NOT_FOUND` naming the nearest tag.
  package func deleteTag(_ tag: String) throws(Failure) {
    let known = try tagList()
    guard known.contains(where: { $0.name == tag }) else {
      throw Failure(.versionNotFound, "table '\(name)' has no tag \(nearNames(tag, known: known.map(\.name), what: "tags"))")
    }
    try store.delete(path("\(TableLocation.tags)/\(tag).json"))
  }
}
