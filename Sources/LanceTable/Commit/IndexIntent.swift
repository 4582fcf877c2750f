package import Core
package import LanceProto
import SwiftProtobuf

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Adds entries to the index section and takes others out.
package struct CreateIndexIntent: CommitIntent {
  package let added: [PBIndexMetadata]
  /// As read; matched by their UUID.
  package let removed: [PBIndexMetadata]
  package let name = "indexing"

  package init(added: [PBIndexMetadata], removed: [PBIndexMetadata] = []) {
    self.added = added
    self.removed = removed
  }

  package func verdict(on other: PBTransaction, made: ManifestFile) throws(Failure) -> CommitVerdict {
    if let verdict = CommitVerdict.replaced(other) { return verdict }
    switch other.operation {
    case .createIndex(let create):
      let ours = Set((added + removed).map(\.name))
      let theirs = (create.newIndices + create.removedIndices).map(\.name)
      return theirs.contains(where: ours.contains) ? .retry("it changed an index of the same name") : .fits
    case .rewrite:
      return other.touches(try covered()) ? .retry("it moved rows that are indexed here") : .fits
    case .dataReplacement(let replacement):
      let fields = Set(added.flatMap(\.fields))
      let changes = replacement.replacements.contains { $0.newFile.fields.contains(where: fields.contains) }
      return changes ? .retry("it changed values that are indexed here") : .fits
    default: return .fits
    }
  }

  /// The fragments that the new entries cover.
  private func covered() throws(Failure) -> Set<UInt64> {
    var all: Set<UInt64> = []
    for index in added { all.formUnion(try index.coveredFragments()) }
    return all
  }

  package func apply(to draft: inout ManifestDraft) throws(Failure) -> CommitVerdict {
    let ids = Set(draft.manifest.fields.map(\.id))
    if let lost = added.first(where: { !$0.fields.allSatisfy(ids.contains) }) {
      return .conflict("the column of index '\(lost.name)' is gone")
    }
    let all = try draft.indices()
    let gone = Set(removed.map(\.uuid.uuid))
    guard gone.isSubset(of: Set(all.map(\.uuid.uuid))) else { return .retry("an index that is replaced here is gone") }
    try draft.setIndices(all.filter { !gone.contains($0.uuid.uuid) } + added)
    var create = PBCreateIndexOperation()
    create.newIndices = added
    create.removedIndices = removed
    draft.operation = .createIndex(create)
    return .fits
  }
}

/// The index section of a manifest file.
enum IndexSection {
  /// - Parameter bytes: nil: no indices.
  static func decode(_ bytes: [UInt8]?, what: String) throws(Failure) -> PBIndexSection {
    guard let bytes else { return PBIndexSection() }
    do { return try PBIndexSection(serializedBytes: bytes) } catch {
      throw Failure(.corruptData, "\(what): its index section is damaged")
    }
  }
}

extension LanceTable {
  /// The indices of this version, those of kinds that we don't know too.
  /// - Throws: `CORRUPT_DATA`.
  package func indexEntries() throws(Failure) -> [PBIndexMetadata] {
    try IndexSection.decode(file.indexSection, what: "table '\(name)' version \(version)").indices
  }
}

extension PBIndexMetadata {
  /// Ids of the fragments whose rows are in the index.
  /// - Throws: `CORRUPT_DATA`.
  package func coveredFragments() throws(Failure) -> [UInt64] {
    guard !fragmentBitmap.isEmpty else { return [] }
    let ids = try RoaringBitmap.decode([UInt8](fragmentBitmap), what: "the fragment bitmap of index '\(name)'")
    return ids.map { UInt64($0) }
  }

  /// - Parameter ids: sorted, distinct.
  package mutating func setCovered(_ ids: [UInt32]) { fragmentBitmap = Data(RoaringBitmap.encode(ids)) }
}

extension ManifestDraft {
  /// Takes fragments out of every index's bitmap.
  mutating func dropFromIndices(_ gone: Set<UInt64>) throws(Failure) {
    var all = try indices()
    var isChanged = false
    for i in all.indices {
      let covered = try all[i].coveredFragments()
      let kept = covered.filter { !gone.contains($0) }
      guard kept.count < covered.count else { continue }
      all[i].setCovered(kept.map { UInt32(truncatingIfNeeded: $0) })
      isChanged = true
    }
    if isChanged { try setIndices(all) }
  }
}
