import Core
import LanceTable
import LuaHost

/// What keeps a table whole and small.
extension LuaTable {
  static let upkeep: [Fn] = [
    Fn(
      "verify", "fun(self: Table, opts?: {all_versions?: boolean}): table",
      "Reads every byte of this version (all_versions: of all) against its checksums. Gives is_good, counts and problems."
    ) { call in
      let this = try call.selfTable()
      let all = try call.options(2).boolean("all_versions") ?? false
      return call.push(try this.table.location.verify(all ? .allVersions : .version(.number(this.table.version))).json)
    },
    Fn(
      "doctor", "fun(self: Table, opts?: {repair?: boolean}): table",
      "Looks for what is damaged, missing or left over. repair: damaged manifests go to _quarantine/, so that the last good version is the newest; nothing is deleted."
    ) { call in
      let this = try call.selfTable()
      let repair = try call.options(2).boolean("repair") ?? false
      if repair { _ = try this.writable() }
      let report = try this.table.location.doctor(repair: repair)
      if repair, !report.quarantined.isEmpty { try this.move() }
      return call.push(report.json)
    },
    Fn(
      "compact", "fun(self: Table, opts?: {target_rows?: integer, deleted_share?: number}): table",
      "Joins small fragments and drops deleted rows, as a new version. Fragments of target_rows (1048576) rows are aimed at; one is rewritten when more than deleted_share (0.1) of it is deleted."
    ) { call in
      let this = try call.selfTable()
      let options = try call.options(2)
      var how = CompactOptions()
      if let rows = try options.integer("target_rows", in: 1...Int.max) { how.targetRowsPerFragment = rows }
      if let share = try options.number("deleted_share") {
        guard share >= 0, share <= 1 else { throw options.bad("deleted_share", "must be from 0 to 1, got \(share)") }
        how.deletedShare = share
      }
      let report = try this.writable().compact(how)
      try this.move()
      return call.push(report.json)
    },
    Fn(
      "cleanup", "fun(self: Table, opts?: {older_than_days?: number, keep_versions?: integer, dry_run?: boolean}): table",
      "Removes versions that were superseded more than older_than_days (14) days ago and files that no version refers to. The newest keep_versions (1) and those with a tag stay. dry_run: only says what would go."
    ) { call in
      let this = try call.selfTable()
      let options = try call.options(2)
      var how = CleanupOptions()
      if let days = try options.number("older_than_days") {
        guard days >= 0 else { throw options.bad("older_than_days", "must not be negative, got \(days)") }
        how.olderThanSeconds = days * 86400
      }
      if let keep = try options.integer("keep_versions", in: 1...Int.max) { how.keepVersions = keep }
      how.dryRun = try options.boolean("dry_run") ?? false
      return call.push(try this.writable().cleanup(how).json)
    },
  ]
}
