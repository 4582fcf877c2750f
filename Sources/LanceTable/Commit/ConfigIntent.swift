import Core
import LanceProto

/// Sets and removes keys of the table's settings.
struct ConfigIntent: CommitIntent {
  let set: [String: String]
  let remove: [String]
  let name = "change of settings"

  func verdict(on other: PBTransaction, made: ManifestFile) -> CommitVerdict {
    let ours = Set(set.keys).union(remove)
    let theirs: Set<String>
    switch other.operation {
    case .updateConfig(let update):
      if update.configUpdates.replace { return .conflict("it replaced all settings") }
      theirs = Set(update.configUpdates.entries.map(\.key) + update.upsertValues.keys + update.deleteKeys)
    case .overwrite(let overwrite): theirs = Set(overwrite.configUpsertValues.keys)
    default: return .fits
    }
    if let key = ours.intersection(theirs).min() { return .conflict("it changed the setting '\(key)' too") }
    return .fits
  }

  func apply(to draft: inout ManifestDraft) throws(Failure) -> CommitVerdict {
    var update = PBUpdateConfigOperation()
    for (key, value) in set.sorted(by: { $0.key < $1.key }) {
      var entry = PBUpdateConfigOperation.Entry()
      (entry.key, entry.value) = (key, value)
      update.configUpdates.entries.append(entry)
      draft.manifest.config[key] = value
    }
    for key in remove {
      var entry = PBUpdateConfigOperation.Entry()
      entry.key = key
      update.configUpdates.entries.append(entry)
      draft.manifest.config[key] = nil
    }
    draft.operation = .updateConfig(update)
    return .fits
  }
}
