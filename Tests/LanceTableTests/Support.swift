import Columnar
import Core
import Foundation
import LanceFile
import LanceProto
import LanceTable
import ObjectStore
import TestSupport
import Testing

/// A table of Tests/golden/lance, written by pylance 14.0.2 (Tests/interop/make_lance_golden.py).
func golden(_ name: String) throws -> TableLocation {
  TableLocation(try LocalStore(root: repository + "/Tests/golden/lance", create: false), "\(name).lance")
}

/// A copy of a golden table in memory, to be damaged.
func goldenInMemory(_ name: String) throws -> TableLocation {
  let from = try golden(name)
  let store = MemoryStore()
  for object in try from.store.list(from.folder, recursive: true) {
    try store.put(object.path, try from.store.read(object.path).array())
  }
  return TableLocation(store, from.folder)
}

/// The values of a fixed-width column, null rows included.
func values<T: BitwiseCopyable>(_ column: Column, _ type: T.Type) -> [T] {
  withExtendedLifetime(column) { Array(column.values(of: type)) }
}

/// Commits a version in which `rows` (physical, sorted) of one fragment are deleted, as a bitmap with its seal.
func deleteRows(_ rows: [UInt32], ofFragment position: Int, _ location: TableLocation) throws {
  let table = try LanceTable(location)
  var file = table.file
  file.manifest.version += 1
  var deletion = PBDeletionFile()
  deletion.fileType = .bitmap
  deletion.readVersion = table.version
  deletion.id = 42
  deletion.numDeletedRows = UInt64(rows.count)
  file.manifest.fragments[position].deletionFile = deletion
  file.manifest.readerFeatureFlags |= 1
  file.manifest.writerFeatureFlags |= 1
  let fragment = file.manifest.fragments[position].id
  try location.store.put(
    location.path("_deletions/\(fragment)-\(table.version)-42.bin"), Checksum.sealed(RoaringBitmap.encode(rows)))
  try location.store.put(
    location.path("_versions/\(table.naming.name(of: file.manifest.version))"), try file.encoded())
}
