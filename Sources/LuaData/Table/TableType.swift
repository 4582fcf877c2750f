import Columnar
import Core
import DataFrames
import Lake
package import LanceTable
package import LuaHost
import ObjectStore
import Plan

/// A data set of the lake in Lua: a frame over all its rows, and all that changes it and looks after it.
///
/// A table that was opened without a version follows its own changes: after `t:delete(...)` it is the new version. What
/// others commit is seen after `t:refresh()`. One opened at a version, tag or time stays there and can only be read.
package final class LuaTable: LuaFrame {
  package private(set) var table: LanceTable
  /// True for a table opened at a version, tag or time.
  let isPinned: Bool
  /// False for a folder below a data root, which scripts may only read.
  let isInLake: Bool

  init(_ table: LanceTable, isPinned: Bool, isInLake: Bool) {
    self.table = table
    self.isPinned = isPinned
    self.isInLake = isInLake
    super.init(Frame(LanceSource(table)))
  }

  override package class var luaType: ObjectType { tableType }

  static let tableType = ObjectType(
    "Table", "A data set of the lake: a Frame over its rows, with versions, tags, changes and upkeep.", base: frameType,
    versions + references + changes + upkeep + search,
    metamethods: [
      Fn("__tostring", "fun(self: Table): string", "Name, version and rows.") { call in
        let table = try call.selfTable().table
        return call.push("Table(\(table.name), version \(table.version), \(table.rowCount) rows)")
      }
    ])

  /// Where the table lies, for what is no matter of one version: tags, branches, restore.
  /// - Throws: `INVALID_ARGUMENT` for a folder outside of the lake.
  func lakeLocation() throws(Failure) -> TableLocation {
    guard isInLake else { throw Failure(.invalidArgument, "table '\(table.name)' is not in the lake; it can only be read") }
    return table.location
  }

  /// Where changes of the newest version go.
  /// - Throws: `INVALID_ARGUMENT` for a table that can only be read.
  func writable() throws(Failure) -> TableLocation {
    guard !isPinned else {
      throw Failure(
        .invalidArgument,
        "table '\(table.name)' is open at version \(table.version), to be read only; open it without a version to change it")
    }
    return try lakeLocation()
  }

  /// Becomes version `version`, which a change has just made, or the newest one.
  func move(to version: TableVersion = .latest) throws(Failure) {
    let newer = try LanceTable(table.location, version: version)
    guard newer.version != table.version || newer.commitName != table.commitName else { return }
    table = newer
    frame = Frame(LanceSource(newer))
  }

  // MARK: opening

  /// The table of `lake.open(name, opts)` and `df.read_lance(name, opts)`: a data set of the lake, or a `.lance` folder below
  /// one of the script's data roots.
  static func open(_ call: borrowing Call) throws(Failure) -> LuaTable {
    let options = try call.options(2)
    return try open(
      call, try call.string(1),
      try version(
        try options.integer("version", in: 1...Int.max), tag: try options.string("tag"), time: try options.string("as_of")))
  }

  static func open(_ call: borrowing Call, _ text: String, _ wanted: TableVersion?) throws(Failure) -> LuaTable {
    let lake = try call.service(DataLake.self)
    let paths = try call.service(ConfinedPaths.self)
    switch try lake.resolveInput(text, dataRoots: paths.roots) {
    case .table(let reference)?:
      if reference.kind == .model { throw Failure(.datasetNotFound, "'\(text)' is a model; use lake.model to load it") }
      let version = wanted ?? reference.version
      return LuaTable(
        try lake.open(.dataset, reference.id, version: version), isPinned: version != .latest, isInLake: true)
    case .file(let path)?:
      guard let slash = path.lastIndex(of: "/"), path.hasSuffix(".lance") else {
        throw Failure(.invalidRequest, "'\(text)' is no Lance data set: its folder must end in .lance")
      }
      let store = try LocalStore(root: String(path[..<slash]), create: false)
      let table = try LanceTable(
        TableLocation(store, String(path[path.index(after: slash)...])), version: wanted ?? .latest)
      return LuaTable(table, isPinned: wanted != nil, isInLake: false)
    case nil: throw Failure(.invalidRequest, "the name of the data set is empty")
    }
  }

  /// At most one of number, tag and time; nil for none.
  static func version(_ number: Int?, tag: String?, time: String?) throws(Failure) -> TableVersion? {
    guard [number != nil, tag != nil, time != nil].count(where: \.self) < 2 else {
      throw Failure(.plain, "give one of version, tag and as_of")
    }
    if let number { return .number(UInt64(number)) }
    if let time { return .time(try instant(time)) }
    return tag.map { .tag($0) }
  }

  /// `2026-11-01` (its beginning in UTC) or `2026-11-01T10:00:00Z`.
  private static func instant(_ text: String) throws(Failure) -> Instant {
    guard let time = Instant(text) ?? Instant(text + "T00:00:00Z") else {
      throw Failure(.plain, "'\(text)' is no time; write 2026-11-01 or 2026-11-01T10:00:00Z")
    }
    return time
  }

  /// All versions as scripts see them, oldest first.
  static func versions(_ location: TableLocation) throws(Failure) -> JSONValue {
    .array(try location.versionList().map { .object($0.json) })
  }
}

extension Call {
  func selfTable() throws(Failure) -> LuaTable { try object(1, as: LuaTable.self) }

  /// An argument as a version: a number, or a tag's name; nil when it is absent.
  func optionalVersion(_ index: Int32) throws(Failure) -> TableVersion? {
    if isNil(index) { return nil }
    if isString(index) { return .tag(try string(index)) }
    return .number(UInt64(try integer(index, in: 1...Int.max)))
  }
}

extension LuaTable {
  private static let versions: [Fn] = [
    Fn("name", "fun(self: Table): string", "The data set's name.") { call in call.push(try call.selfTable().table.name) },
    Fn("versions", "fun(self: Table): table[]", "All versions, oldest first: version, time, operation, rows, fragments, tags.")
    {
      call in
      call.push(try LuaTable.versions(try call.selfTable().table.location))
    },
    Fn("at", "fun(self: Table, version: integer|string): Table", "Another version of the same table, by its number or tag.") {
      call in
      let this = try call.selfTable()
      let table = try LanceTable(this.table.location, version: try call.optionalVersion(2) ?? .latest)
      return try call.push(object: LuaTable(table, isPinned: true, isInLake: this.isInLake))
    },
    Fn(
      "as_of", "fun(self: Table, time: string): Table",
      "The newest version committed at or before a time: \"2026-11-01\" (its beginning, UTC) or \"2026-11-01T10:00:00Z\"."
    ) { call in
      let this = try call.selfTable()
      let table = try LanceTable(this.table.location, version: .time(try instant(try call.string(2))))
      return try call.push(object: LuaTable(table, isPinned: true, isInLake: this.isInLake))
    },
    Fn("refresh", "fun(self: Table): Table", "Sees what others have committed meanwhile; gives the table itself.") { call in
      let this = try call.selfTable()
      if !this.isPinned { try this.move() }
      return call.pushArgument(1)
    },
    Fn("tags", "fun(self: Table): table<string, integer>", "The versions that have a name.") { call in
      let tags = try call.selfTable().table.location.tagList()
      return call.pushTable(fields: tags.count) { table in
        for tag in tags { table.set(tag.name, Int(clamping: tag.version)) }
      }
    },
    Fn(
      "stats", "fun(self: Table, columns?: string[]): table<string, table>",
      "What each column holds: type, count (values that are not null), nulls, min, max, mean."
    ) { call in
      let statistics = try call.selfTable().frame.statistics(of: call.isNil(2) ? nil : try call.strings(2))
      return call.pushTable(fields: statistics.count) { table in
        for column in statistics { table.set(column.name, .object(column.json)) }
      }
    },
  ]
}
