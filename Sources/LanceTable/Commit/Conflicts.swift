import LanceProto

/// The rows of the conflict table (lance.md, part 16) that several intents share.
extension CommitVerdict {
  /// What ends every intent that builds on the table's content: it was replaced as a whole. Nil for all other operations.
  static func replaced(_ other: PBTransaction) -> CommitVerdict? {
    switch other.operation {
    case .overwrite: .conflict("it replaced the table")
    case .restore(let restore): .conflict("it restored version \(restore.version)")
    case .clone: .conflict("it cloned another table")
    default: nil
    }
  }
}

extension PBTransaction {
  /// The fragments that were there before and that this transaction changed or removed; nil when it may be any of them.
  var touchedFragments: Set<UInt64>? {
    switch operation {
    case .append, .createIndex, .reserveFragments, .project, .updateConfig, .updateBases: []
    case .delete(let delete): Set(delete.updatedFragments.map(\.id) + delete.deletedFragmentIds)
    case .update(let update): Set(update.updatedFragments.map(\.id) + update.removedFragmentIds)
    case .rewrite(let rewrite): Set((rewrite.oldFragments + rewrite.groups.flatMap(\.oldFragments)).map(\.id))
    case .dataReplacement(let replacement): Set(replacement.replacements.map(\.fragmentID))
    case .merge, .overwrite, .restore, .clone, nil: nil
    }
  }

  /// True when it touched one of `ids`.
  func touches(_ ids: Set<UInt64>) -> Bool { touchedFragments.map { !$0.isDisjoint(with: ids) } ?? true }
}
