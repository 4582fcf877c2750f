import Core
import LanceProto
import ObjectStore

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A file that a version of a table needs besides its manifest.
struct FileReference: Sendable {
  enum Content: Sendable {
    /// A data file of a fragment of so many rows; 0 = not known.
    case data(rows: Int)
    case deletion(PBDataFragment, TableLocation)
    case index
  }
  /// Relative to the store's root.
  let path: String
  let content: Content
  /// What the manifest says; nil when it says nothing.
  let byteCount: Int?
}

extension PBIndexMetadata {
  /// Its folder below `_indices/`; nil when it has no valid id.
  var folderName: String? {
    guard uuid.uuid.count == 16 else { return nil }
    var name = ""
    for (i, byte) in uuid.uuid.enumerated() {
      if [4, 6, 8, 10].contains(i) { name += "-" }
      name += (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
    return name
  }
}

extension TableLocation {
  static let indices = "_indices"
  static let quarantine = "_quarantine"

  /// The files in the store that the version in `file` needs. Files in folders of other tables are among them where those lie in
  /// the same store.
  /// - Throws: `CORRUPT_DATA` when the manifest contradicts itself.
  func references(of file: ManifestFile) throws(Failure) -> [FileReference] {
    let location = following(file.manifest)
    var found: [FileReference] = []
    func add(_ content: FileReference.Content, _ byteCount: UInt64, _ path: () throws(Failure) -> String) throws(Failure) {
      do throws(Failure) {
        found.append(
          FileReference(path: try path(), content: content, byteCount: byteCount == 0 ? nil : Int(clamping: byteCount)))
      } catch {
        // Outside of the store: not ours to look after.
        guard error.code == .unsupported else { throw error }
      }
    }
    for fragment in file.manifest.fragments {
      for data in fragment.files {
        try add(.data(rows: Int(clamping: fragment.physicalRows)), data.fileSizeBytes) { () throws(Failure) in
          try location.path(of: data)
        }
      }
      if fragment.hasDeletionFile {
        try add(.deletion(fragment, location), 0) { () throws(Failure) in try location.deletionsPath(of: fragment) }
      }
    }
    let section = try IndexSection.decode(file.indexSection, what: "table '\(name)' version \(file.manifest.version)")
    for index in section.indices where !index.hasBaseID {
      guard let name = index.folderName else { continue }
      let folder = path("\(TableLocation.indices)/\(name)")
      if index.files.isEmpty {
        for object in try store.list(folder, recursive: true) {
          found.append(FileReference(path: object.path, content: .index, byteCount: nil))
        }
      }
      for part in index.files { try add(.index, part.sizeBytes) { () throws(Failure) in "\(folder)/\(part.path)" } }
    }
    return found
  }
}
