import Core
import LanceProto
import ObjectStore

/// Data files of a fragment.
enum FragmentFiles {
  /// Rows in a fragment's first data file.
  static func length(of fragment: PBDataFragment, _ location: TableLocation) throws(Failure) -> Int {
    throw Failure(.unsupported, "table '\(location.name)': fragment \(fragment.id) does not say how many rows it has")
  }
}
