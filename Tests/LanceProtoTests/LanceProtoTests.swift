import LanceProto
import SwiftProtobuf
import Testing

@Suite struct LanceProtoTests {
  /// Newer writers add fields; a manifest that we derive from theirs must keep them, at every depth.
  @Test func unknownFieldsSurviveARoundTrip() throws {
    // Field{name "a", parent_id -1, 77: 5}, Manifest{fields [..], version 3, 900: "new"}
    let field: [UInt8] = [0x12, 1, 0x61, 0x20] + [UInt8](repeating: 0xFF, count: 9) + [1, 0xE8, 0x04, 5]
    let bytes: [UInt8] = [0x0A, UInt8(field.count)] + field + [0x18, 3, 0xA2, 0x38, 3, 0x6E, 0x65, 0x77]
    var manifest = try PBManifest(serializedBytes: bytes)
    #expect(manifest.version == 3 && manifest.fields[0].name == "a" && manifest.fields[0].parentID == -1)
    #expect(try manifest.serializedBytes() as [UInt8] == bytes)
    manifest.version = 4
    let again: [UInt8] = try manifest.serializedBytes()
    #expect(again == [0x0A, UInt8(field.count)] + field + [0x18, 4, 0xA2, 0x38, 3, 0x6E, 0x65, 0x77])
  }

  @Test func absentAndZeroAreToldApart() throws {
    var manifest = PBManifest()
    #expect(!manifest.hasMaxFragmentID && !manifest.hasTransactionSection)
    manifest.maxFragmentID = 0
    manifest.transactionSection = 0
    let bytes: [UInt8] = try manifest.serializedBytes()
    #expect(bytes == [0x58, 0, 0xA8, 0x01, 0])
    let recent = try PBManifest(serializedBytes: [0xB8, 0x01, 0] as [UInt8])
    #expect(recent.hasTransactionSectionRecent && recent.transactionSectionRecent == 0)
  }

  @Test func typeURLsAreComparedByTheirLastPart() {
    var any = PBAnyMessage()
    any.typeURL = "type.googleapis.com/lance.encodings21.PageLayout"
    #expect(any.isType(LanceTypeURL.pageLayout) && !any.isType(LanceTypeURL.arrayEncoding))
  }
}
