package import Core
package import LanceTable

/// A table of the lake as a user names it, taken apart.
///
///     mnist_clean                                    a name
///     mnist_clean#3   mnist_clean@golden             ... at a version, at a tag
///     lance_storage/datasets/mnist_clean.lance       a path as the lake shows it; also with ./ before it
///     datasets/mnist_clean   models/mnist_cnn.lance  a path inside the lake
///     /srv/lance_storage/models/mnist_cnn.lance      an absolute path into the lake
package struct LakeReference: Sendable, Hashable {
  /// Known from a path; nil for a bare name.
  package let kind: LakeKind?
  package let id: String
  package let version: TableVersion

  package init(kind: LakeKind?, id: String, version: TableVersion = .latest) {
    self.kind = kind
    self.id = id
    self.version = version
  }

  /// A name that may be a table's: `[A-Za-z0-9_.-]+`, no dot first, at most 200 bytes.
  /// - Throws: `INVALID_REQUEST` naming it and saying what is allowed.
  package static func check(name: String, _ kind: LakeKind?) throws(Failure) {
    let what = kind.map { $0 == .dataset ? "a data set" : "a model" } ?? "a data set or model"
    func fail(_ why: String) -> Failure {
      let shown = name.utf8.count > 80 ? String(decoding: name.utf8.prefix(80), as: UTF8.self) + "..." : name
      return Failure(.invalidRequest, "'\(shown)' cannot be the name of \(what): \(why)")
    }
    if name.isEmpty { throw fail("it is empty") }
    if name.utf8.count > 200 { throw fail("it is longer than 200 bytes") }
    if name.hasPrefix(".") { throw fail("it begins with a dot") }
    if name.hasPrefix("-") { throw fail("it begins with a hyphen, as options of commands do") }
    if name.hasSuffix(".") { throw fail("it ends with a dot, which not every file system keeps") }
    if name.lowercased().hasSuffix(".lance") { throw fail("'.lance' is added to it by the lake") }
    if reservedNames.contains(name.lowercased().split(separator: ".")[0]) { throw fail("Windows reserves it for a device") }
    for byte in name.utf8 {
      switch byte {
      case 48...57, 65...90, 97...122, UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."): continue
      default: throw fail("only letters, digits, '_', '-' and '.' are allowed")
      }
    }
  }

  private static let reservedNames: Set<Substring> = {
    let numbered = ["com", "lpt"].flatMap { name in (1...9).map { Substring("\(name)\($0)") } }
    return Set(["con", "prn", "aux", "nul"] + numbered)
  }()

  /// Splits `name#3` and `name@tag`.
  static func splitVersion(_ text: String) throws(Failure) -> (String, TableVersion) {
    if let mark = text.lastIndex(of: "#") {
      guard let number = UInt64(text[text.index(after: mark)...]), number > 0 else {
        throw Failure(.invalidRequest, "'\(text)': after '#' stands a version number, as in 'mnist_clean#3'")
      }
      return (String(text[..<mark]), .number(number))
    }
    if let mark = text.lastIndex(of: "@"), !text[mark...].contains("/") {
      let tag = String(text[text.index(after: mark)...])
      guard !tag.isEmpty else {
        throw Failure(.invalidRequest, "'\(text)': after '@' stands a tag, as in 'mnist_cnn@champion'")
      }
      return (String(text[..<mark]), .tag(tag))
    }
    return (text, .latest)
  }
}

/// What a task's or a script's input leads to.
package enum LakeInput: Sendable {
  /// A table of the lake, which exists.
  case table(LakeReference)
  /// A file or folder below one of the configured data roots: absolute, without symbolic links.
  case file(String)
}

extension DataLake {
  /// Takes a name or path apart; no file is looked at.
  /// - Throws: `INVALID_REQUEST` for a name that cannot be one, `PATH_NOT_ALLOWED` for a path that leads elsewhere.
  package func reference(_ text: String) throws(Failure) -> LakeReference {
    let (whole, version) = try LakeReference.splitVersion(text)
    guard whole.contains("/") else {
      let id = whole.hasSuffix(".lance") ? String(whole.dropLast(6)) : whole
      try LakeReference.check(name: id, nil)
      return LakeReference(kind: nil, id: id, version: version)
    }
    var path = whole[...]
    while path.hasPrefix("./") { path = path.dropFirst(2) }
    while path.hasSuffix("/") { path = path.dropLast() }
    // The part before `datasets/NAME`: as shown, the directory's own name, or its absolute path.
    var roots = [shownRoot + "/"]
    if let root { roots += [root + "/"] + (ObjectPathParts.last(root).map { [$0 + "/"] } ?? []) }
    if let last = ObjectPathParts.last(shownRoot) { roots.append(last + "/") }
    var inside = path
    for prefix in roots where path.hasPrefix(prefix) {
      inside = path.dropFirst(prefix.count)
      break
    }
    let parts = inside.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let kind = LakeKind(rawValue: String(parts[0])) else {
      throw Failure(
        .pathNotAllowed,
        "'\(text)' is not in the lake; give a name such as 'mnist_clean' or a path such as '\(shownRoot)/datasets/mnist_clean.lance'"
      )
    }
    let id = parts[1].hasSuffix(".lance") ? String(parts[1].dropLast(6)) : String(parts[1])
    try LakeReference.check(name: id, kind)
    return LakeReference(kind: kind, id: id, version: version)
  }

  /// The table that `text` names, with its kind: as the path says, else `kind` if given, else the data set of that name, else
  /// the model of that name.
  /// - Throws: as `reference`; `DATASET_NOT_FOUND`, `MODEL_NOT_FOUND`; `INVALID_REQUEST` when the path is of the other kind.
  package func resolve(_ text: String, kind: LakeKind? = nil) throws(Failure) -> LakeReference {
    let named = try reference(text)
    if let kind, let own = named.kind, own != kind {
      throw Failure(
        .invalidRequest,
        "'\(text)' is a \(own == .model ? "model" : "data set"), where a \(kind == .model ? "model" : "data set") is wanted")
    }
    for candidate in (kind ?? named.kind).map({ [$0] }) ?? LakeKind.allCases where try exists(candidate, named.id) {
      return LakeReference(kind: candidate, id: named.id, version: named.version)
    }
    throw (kind ?? named.kind ?? .dataset).notFound(named.id)
  }

  /// Opens the table that `text` names; see `resolve`.
  package func open(_ text: String, kind: LakeKind? = nil) throws(Failure) -> LanceTable {
    let found = try resolve(text, kind: kind)
    return try open(found.kind ?? .dataset, found.id, version: found.version)
  }

  /// What the `input` of a task leads to: a table, or a file or folder below one of `dataRoots`. nil for `""`.
  /// - Throws: as `resolve`; `PATH_NOT_ALLOWED` for a path outside of lake and data roots, `FILE_NOT_FOUND`.
  package func resolveInput(_ text: String, dataRoots: [String]) throws(Failure) -> LakeInput? {
    if text.isEmpty { return nil }
    let refused: Failure
    do throws(Failure) {
      return .table(try resolve(text))
    } catch {
      // A path that is none of the lake's may be one of the data roots'.
      guard text.contains("/"), error.code == .pathNotAllowed || error.code == .invalidRequest else { throw error }
      refused = error
    }
    guard text.hasPrefix("/") else { throw refused }
    let real = RealPath.of(text)
    for root in dataRoots {
      guard let realRoot = RealPath.of(root) else { continue }
      let inside = realRoot == "/" ? "/" : realRoot + "/"
      if let real {
        if real == realRoot || real.hasPrefix(inside) { return .file(real) }
      } else if text.hasPrefix(inside) || text.hasPrefix(root.hasSuffix("/") ? root : root + "/"), !text.contains("/../") {
        throw Failure(.fileNotFound, "input '\(text)' does not exist")
      }
    }
    let roots = dataRoots.isEmpty ? "none" : dataRoots.joined(separator: ", ")
    throw Failure(.pathNotAllowed, "input '\(text)' lies neither in the lake nor below a data root (data roots: \(roots))")
  }

  /// The table that a task writes to; it need not exist. nil for `""`. A bare name has no kind: a model if the script
  /// saves a model under it, else a data set.
  /// - Throws: as `reference`; `INVALID_REQUEST` for a name with a version or tag.
  package func resolveOutput(_ text: String) throws(Failure) -> LakeReference? {
    if text.isEmpty { return nil }
    let named = try reference(text)
    guard named.version == .latest else {
      throw Failure(.invalidRequest, "output '\(text)' names a version; a task writes a new version of '\(named.id)'")
    }
    return named
  }
}
