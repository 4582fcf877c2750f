import Core
import DataFrames
import LanceTable
import LuaHost

/// Tags, branches, and what differs between versions.
extension LuaTable {
  static let references: [Fn] = [
    Fn(
      "tag", "fun(self: Table, name: string, version?: integer|string): integer",
      "Gives a version (this one) a name, or moves the name to it; gives the version's number."
    ) { call in
      let this = try call.selfTable()
      let version = try call.optionalVersion(3) ?? .number(this.table.version)
      return call.push(Int(clamping: try this.lakeLocation().setTag(try call.string(2), version).version))
    },
    Fn("untag", "fun(self: Table, name: string)", "Takes a name away; the version stays.") { call in
      try call.selfTable().lakeLocation().deleteTag(try call.string(2))
      return 0
    },
    Fn(
      "branches", "fun(self: Table): table[]", "Branches of the table: name, parent_version, created."
    ) { call in
      let branches = try call.selfTable().table.location.branchList()
      return call.push(
        .array(
          branches.map { branch in
            [
              "name": .string(branch.name), "parent_version": .int(Int64(clamping: branch.parentVersion)),
              "created": branch.created.map { .string($0.description) } ?? .null,
            ]
          }))
    },
    Fn(
      "create_branch", "fun(self: Table, name: string, version?: integer|string): Table",
      "A branch from a version (this one): a table of its own that begins with the same rows, without a copy."
    ) { call in
      let this = try call.selfTable()
      let version = try call.optionalVersion(3) ?? .number(this.table.version)
      let name = try call.string(2)
      _ = try this.lakeLocation().createBranch(name, from: version)
      return try call.push(
        object: LuaTable(try LanceTable(try this.table.location.branch(name)), isPinned: false, isInLake: this.isInLake))
    },
    Fn("branch", "fun(self: Table, name: string): Table", "A branch, to read and write like any table.") { call in
      let this = try call.selfTable()
      return try call.push(
        object: LuaTable(
          try LanceTable(try this.table.location.branch(try call.string(2))), isPinned: false, isInLake: this.isInLake))
    },
    Fn(
      "diff", "fun(self: Table, from: integer|string, to?: integer|string): table",
      "What differs between two versions (the second: this one): rows added and removed, columns, operations. A row that was updated counts as removed and added."
    ) { call in
      let this = try call.selfTable()
      let from = try call.optionalVersion(2) ?? .latest
      let to = try call.optionalVersion(3) ?? .number(this.table.version)
      return call.push(try this.table.location.diff(from: from, to: to).json)
    },
    Fn(
      "changes", "fun(self: Table, opts: {since: any}): Frame",
      "Rows that were inserted or updated after version (number or tag) `since`, up to this version."
    ) { call in
      let this = try call.selfTable()
      let options = try call.options(2)
      guard options.has("since") else { throw options.bad("since", "must be a version's number or tag") }
      let version = try call.version(options, "since")
      // Version 0 is before the first: everything is new.
      if case .number(0) = version { return try call.push(this.frame) }
      return try call.push(
        try Frame.changes(of: this.table.location, since: version, to: .number(this.table.version)))
    },
  ]
}

extension Call {
  fileprivate func version(_ options: borrowing Options, _ name: String) throws(Failure) -> TableVersion {
    _ = options.push(name)
    defer { pop() }
    if isString(-1) { return .tag(try string(-1)) }
    guard isInteger(-1), let number = UInt64(exactly: try integer(-1)) else {
      throw options.bad(name, "must be a version's number or tag, got \(describe(-1))")
    }
    return .number(number)
  }
}
