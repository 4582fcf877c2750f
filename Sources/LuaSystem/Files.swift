import Core
import LuaHost

extension Failure.Code {
  static let fileTooLarge = Failure.Code("FILE_TOO_LARGE")
}

/// `fs`: reading below the folders that the run may see. Nothing outside them opens, whatever the path says: the opened
/// file decides, after symlinks (`Core.ConfinedPaths`).
enum LuaFiles {
  /// Largest file that `fs.read` puts into a Lua string.
  private static let mostBytes = 256 << 20
  private static let mostNames = 100_000

  static let module = Module(
    "fs", "Files below the allowed folders, for reading.",
    [
      Fn("read", "fun(path: string): string", "The bytes of a file.") { call in
        let bytes = try call.service(ConfinedPaths.self).read(try call.string(1), limitBytes: mostBytes)
        return call.push(bytes: bytes)
      },
      Fn("exists", "fun(path: string): boolean", "True for a file or folder that may be read.") { call in
        do throws(Failure) {
          _ = try call.service(ConfinedPaths.self).entry(try call.string(1))
          return call.push(true)
        } catch {
          guard error.code == .fileNotFound || error.code == .pathNotAllowed else { throw error }
          return call.push(false)
        }
      },
      Fn(
        "stat", "fun(path: string): table?, string?",
        "`{path, kind = \"file\" or \"folder\", size, modified}`, or nil and the reason."
      ) { call in
        do throws(Failure) {
          let entry = try call.service(ConfinedPaths.self).entry(try call.string(1))
          return call.pushTable { table in
            table.set("path", entry.path)
            table.set("kind", entry.isDirectory ? "folder" : "file")
            table.set("size", entry.byteCount)
            table.set("modified", entry.modified.timeInterval)
          }
        } catch {
          guard error.code == .fileNotFound || error.code == .pathNotAllowed else { throw error }
          call.pushNil()
          return 1 + call.push(error.message)
        }
      },
      Fn("list", "fun(folder: string): string[]", "Names in a folder, sorted.") { call in
        call.push(try call.service(ConfinedPaths.self).list(try call.string(1)))
      },
      Fn(
        "glob", "fun(pattern: string): string[]",
        "Paths that match, sorted: `*` and `?` within a name, `**` for any folders, `[abc]` for one of these."
      ) { call in
        let pattern = try call.string(1)
        return call.push(try Glob(pattern).expand(try call.service(ConfinedPaths.self), limit: mostNames))
      },
    ])
}

/// A path with wildcards, expanded folder by folder.
struct Glob {
  private let isAbsolute: Bool
  private let parts: [[UInt8]]

  init(_ pattern: String) {
    isAbsolute = pattern.hasPrefix("/")
    parts = pattern.split(separator: "/").map { Array($0.utf8) }
  }

  func expand(_ paths: ConfinedPaths, limit: Int) throws(Failure) -> [String] {
    var found: [String] = []
    try walk(isAbsolute ? "/" : "", parts[...], false, paths, limit, &found)
    return found.sorted()
  }

  private func walk(
    _ folder: String, _ rest: ArraySlice<[UInt8]>, _ afterWildcard: Bool, _ paths: ConfinedPaths, _ limit: Int,
    _ found: inout [String]
  ) throws(Failure) {
    guard let part = rest.first else { return }
    try Cancellation.check()
    func join(_ name: String) -> String { folder.isEmpty || folder == "/" ? folder + name : folder + "/" + name }
    let isLast = rest.count == 1
    let wild = part.contains { $0 == 42 || $0 == 63 || $0 == 91 }
    guard wild else {
      let path = join(String(decoding: part, as: UTF8.self))
      if isLast {
        if exists(path, paths) != nil { try add(path, limit, &found) }
      } else {
        try walk(path, rest.dropFirst(), afterWildcard, paths, limit, &found)
      }
      return
    }
    let anyDepth = part == Array("**".utf8)
    if anyDepth { try walk(folder, rest.dropFirst(), afterWildcard, paths, limit, &found) }
    let names: [String]
    do throws(Failure) { names = try paths.list(folder.isEmpty ? "." : folder) } catch {
      if error.code == .pathNotAllowed, !afterWildcard { throw error }
      return  // a wildcard passes by what may not be read
    }
    for name in names where !name.hasPrefix(".") {
      let path = join(name)
      if anyDepth {
        if exists(path, paths) == true { try walk(path, rest, true, paths, limit, &found) }
        if isLast { try add(path, limit, &found) }
      } else if Glob.matches(part[...], Array(name.utf8)[...]) {
        if isLast { try add(path, limit, &found) } else { try walk(path, rest.dropFirst(), true, paths, limit, &found) }
      }
    }
  }

  private func add(_ path: String, _ limit: Int, _ found: inout [String]) throws(Failure) {
    guard found.count < limit else { throw Failure(.invalidArgument, "fs.glob: more than \(limit) paths match") }
    if found.last != path { found.append(path) }
  }

  /// True for a folder, false for a file, nil for neither.
  private func exists(_ path: String, _ paths: ConfinedPaths) -> Bool? { try? paths.entry(path).isDirectory }

  /// Wildcards within one name. Linear: on a mismatch only the last `*` takes one byte more.
  static func matches(_ pattern: ArraySlice<UInt8>, _ name: ArraySlice<UInt8>) -> Bool {
    var p = pattern.startIndex
    var n = name.startIndex
    var star: (p: Int, n: Int)?
    while n < name.endIndex {
      if p < pattern.endIndex, pattern[p] == 42 {
        star = (p + 1, n)
        p += 1
        continue
      }
      if p < pattern.endIndex {
        if pattern[p] == 91, let close = pattern[p...].firstIndex(of: 93), close > p + 1 {
          if pattern[(p + 1)..<close].contains(name[n]) {
            p = close + 1
            n += 1
            continue
          }
        } else if pattern[p] == 63 || pattern[p] == name[n] {
          p += 1
          n += 1
          continue
        }
      }
      guard let back = star else { return false }
      star = (back.p, back.n + 1)
      p = back.p
      n = back.n + 1
    }
    return pattern[p...].allSatisfy { $0 == 42 }
  }
}
