// Room LanceProto: the protobuf messages of Lance files and tables (types `PB...`), generated from `Protos/*.proto` by
// `scripts/generate-protos`, and the type URLs under which encodings are wrapped. Unknown fields survive a round trip.

/// Type URLs of `PBAnyMessage`; Lance readers insist on the slash.
package enum LanceTypeURL {
  package static let pageLayout = "/lance.encodings21.PageLayout"
  package static let arrayEncoding = "/lance.encodings.ArrayEncoding"
  package static let columnEncoding = "/lance.encodings.ColumnEncoding"
  /// Pages of the unstable file version 2.3.
  package static let planarLayout = "/lance.encodings23.PlanarLayout"
  package static let btreeIndexDetails = "/lance.table.BTreeIndexDetails"
  package static let bitmapIndexDetails = "/lance.table.BitmapIndexDetails"
  package static let vectorIndexDetails = "/lance.index.pb.VectorIndexDetails"
}

extension PBAnyMessage {
  /// True when the message is of the type that `url` names, whatever stands before its last slash.
  package func isType(_ url: String) -> Bool {
    typeURL.split(separator: "/").last == url.split(separator: "/").last
  }
}
