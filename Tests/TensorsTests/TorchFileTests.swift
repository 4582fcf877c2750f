import Core
import Glibc
import TensorKernels
import Tensors
import Testing

/// Files of `torch.save`, made by PyTorch 2.13 (Tests/golden/make_torch_golden.py): right ones, wrong ones, and broken ones.
@Suite struct TorchFileTests {
  static let folder = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/golden/torch/"

  private func file(_ name: String) throws -> [UInt8] {
    let file = try #require(fopen(TorchFileTests.folder + name, "r"), "\(name) is not there")
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65536)
    while case let n = fread(&part, 1, part.count, file), n > 0 { bytes += part[..<n] }
    return bytes
  }
  private func read(_ bytes: [UInt8]) throws -> TorchValue { try bytes.withUnsafeBytes { try TorchFile.decode($0) } }
  private func why(_ bytes: [UInt8]) -> String {
    do {
      _ = try read(bytes)
      return "no error"
    } catch { return (error as? Failure)?.message ?? "\(error)" }
  }

  /// Compares with what make_torch_golden.py wrote down.
  private func compare(_ got: TorchValue, _ want: JSONValue, _ place: String) throws {
    switch got {
    case .none: #expect(want == .null, "\(place)")
    case .bool(let flag): #expect(want.boolValue == flag, "\(place)")
    case .integer(let number): #expect(want.intValue == number, "\(place)")
    case .float(let number): #expect(want.doubleValue == number, "\(place)")
    case .text(let text): #expect(want.stringValue == text, "\(place)")
    case .list(let elements):
      let wanted = try #require(want.arrayValue, "\(place)")
      #expect(elements.count == wanted.count, "\(place)")
      for (i, pair) in zip(elements, wanted).enumerated() { try compare(pair.0, pair.1, "\(place)[\(i)]") }
    case .dict(let pairs):
      let wanted = try #require(want.objectValue?["dict"]?.arrayValue, "\(place)")
      #expect(pairs.count == wanted.count, "\(place)")
      for (pair, other) in zip(pairs, wanted) {
        let parts = try #require(other.arrayValue)
        switch pair.key {
        case .text(let text): #expect(parts[0].stringValue == text)
        case .integer(let number): #expect(parts[0].intValue == number)
        }
        try compare(pair.value, parts[1], "\(place).\(pair.key)")
      }
    case .tensor(let tensor):
      let wanted = try #require(want.objectValue, "\(place)")
      #expect(tensor.dtype.description == wanted["dtype"]?.stringValue, "\(place)")
      #expect(tensor.shape == wanted["shape"]?.arrayValue?.compactMap { $0.intValue.map { Int($0) } }, "\(place)")
      let values = wanted["values"]?.arrayValue?.compactMap { $0.stringValue.flatMap(Double.init) }
      #expect(try tensor.values() == values, "\(place)")
      #expect(!tensor.requiresGrad)
    }
  }

  private func expected() throws -> JSONObject {
    let json = try JSONValue(parsing: file("expected.json"))
    return try #require(json.objectValue?["files"]?.objectValue)
  }

  @Test(arguments: ["state_dict", "checkpoint", "views", "types", "one_tensor", "protocol_4", "tied", "slip"])
  func filesHoldWhatPyTorchSaved(_ name: String) throws {
    try compare(read(file(name + ".pt")), #require(try expected()[name]), name)
  }

  @Test func tensorsOfOneStorageShareMemory() throws {
    guard case .dict(let pairs) = try read(file("tied.pt")), case .tensor(let a) = pairs[0].value,
      case .tensor(let b) = pairs[1].value
    else { Issue.record("tied.pt holds two tensors"); return }
    try a.assign(5)
    #expect(try b.values() == [5, 5, 5, 5])
    // The first stands for the memory in Lua's account, the second is a view of it.
    #expect(!a.isView && b.isView)
  }

  @Test func aShapeLargerThanTheFileTakesNoMemory() throws {
    guard case .tensor(let wide) = try read(file("spread_wide.pt")) else { Issue.record("a tensor"); return }
    #expect(wide.shape == [1 << 30, 1 << 15] && wide.storage.buffer.byteCount < 4096)
  }

  @Test(arguments: [
    ("system", "the file wants 'posix.system', which is refused: only tensors, numbers, strings, lists and dicts are read"),
    ("eval", "the file wants '__builtin__.eval', which is refused"),
    ("old_class", "opcode 0x53 is refused"), ("instance", "the file wants 'os.system', which is refused"),
    ("module", "the file wants 'torch.nn.modules.container.Sequential', which is refused"),
    ("compressed", "the entry 'x/data.pkl' is compressed (method 8); only stored ones are read"),
    ("recursive", "containers nested more than 64 deep, or in themselves"), ("deep", "nested more than 64 deep"),
    ("laughs", "holds the same containers too many times"), ("legacy", "a bare pickle, as PyTorch wrote before 1.6"),
    ("too_long", "a tensor of shape (5), strides (1) from element 0 does not fit its storage of 4"),
    ("offset", "a tensor of shape (2), strides (1) from element 3 does not fit its storage of 4"),
    ("stride", "does not fit its storage of 4"), ("negative", "an extent or stride that is no size"),
    ("storage_size", "'x/data/0' should hold 1000000 elements of 4 bytes, but has 16 bytes"),
    ("no_storage", "the archive has no 'x/data/0'"),
  ])
  func whatIsMoreThanDataIsRefused(_ name: String, _ message: String) throws {
    let got = why(try file("refused_\(name).pt"))
    #expect(got.contains(message), "\(name): \(got)")
    #expect(got.hasPrefix("from_torch: "))
    #expect(access("/tmp/moonlake_was_here", F_OK) != 0, "a file ran code")
  }

  @Test func otherFilesAreErrors() throws {
    #expect(why([]).contains("cut short or not a zip file"))
    #expect(why(Array("hello, world, this is no archive".utf8)).contains("not a zip file"))
    #expect(why([0x50, 0x4b, 5, 6] + [UInt8](repeating: 0, count: 18)).contains("0 entries '<name>/data.pkl'"))
    let bytes = try file("state_dict.pt")
    #expect(why(Array(bytes.dropLast(1))).contains("cut short or not a zip file"))
    #expect(why(Array(bytes.dropFirst(4))) != "no error")
  }

  /// Any byte changed, any end cut off: an error or a value, never a trap. Changed bytes of data do not go unnoticed.
  @Test(arguments: ["state_dict", "checkpoint", "views", "protocol_4", "refused_laughs", "refused_system"])
  func brokenFilesAreErrors(_ name: String) throws {
    let good = try file(name + ".pt")
    for length in 0..<good.count where length % 3 == 0 || length > good.count - 64 {
      #expect(why(Array(good[..<length])) != "no error", "\(name), \(length) bytes of \(good.count)")
    }
    var bytes = good
    for at in good.indices {
      let mask: UInt8 = [1, 0x80, 0xff][at % 3]
      bytes[at] ^= mask
      _ = why(bytes)
      bytes[at] ^= mask
    }
  }

  /// The machine behind the checksum: pickles with random bytes, in an archive whose CRC is right.
  @Test func brokenPicklesAreErrors() throws {
    let good = try file("checkpoint.pt")
    let zip = try Archive(good)
    var seed: UInt64 = 1
    func random() -> Int {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(seed >> 33)
    }
    for _ in 0..<4000 {
      var bytes = good
      for _ in 0...random() % 3 {
        let opcodes = Array("(}]q.RQbseuhtN".utf8)
        let isOpcode = random() % 4 == 0
        let value = random()
        bytes[zip.start + random() % zip.size] = isOpcode ? opcodes[value % opcodes.count] : UInt8(value & 0xff)
      }
      zip.fixChecksum(&bytes)
      let message = why(bytes)
      #expect(!message.contains("CRC"))
    }
  }

  @Test func checksumsAreThoseOfZip() {
    let text = Array("123456789".utf8)
    #expect(text.withUnsafeBytes { Kernels.crc32($0) } == 0xcbf4_3926)
    #expect([UInt8]().withUnsafeBytes { Kernels.crc32($0) } == 0)
  }

  @Test func halvesOfSafetensorsBecomeF32() throws {
    let tensors = try file("halves.safetensors").withUnsafeBytes { try SafeTensors.decode($0) }
    let wanted = try #require(try expected()["halves"])
    try compare(.dict(tensors.map { (.text($0.name), .tensor($0.tensor)) }), wanted, "halves")
  }

  /// All 65,536 halves against the machine's own conversion.
  @Test func everyHalfIsExact() throws {
    #if arch(x86_64) && os(macOS)
    #else
      var out = [Float](repeating: 0, count: 1)
      for bits in UInt16.min...UInt16.max {
        withUnsafeBytes(of: bits.littleEndian) { source in
          if let base = source.baseAddress { out.withUnsafeMutableBufferPointer { widen(base, $0) } }
        }
        let want = Float(Float16(bitPattern: bits))
        #expect(out[0] == want || out[0].isNaN && want.isNaN, "\(bits)")
      }
    #endif
  }
  private func widen(_ source: UnsafeRawPointer, _ out: UnsafeMutableBufferPointer<Float>) {
    if let base = out.baseAddress { Kernels.widen(.f16, 1, from: source, to: base) }
  }
}

/// Where the pickle of a good file lies, to break it and put the CRC right.
private struct Archive {
  var start = 0
  var size = 0
  private var crcAt = 0

  init(_ bytes: [UInt8]) throws {
    // The directory's first entry is data.pkl, as PyTorch writes it.
    func number(_ at: Int, _ count: Int) -> Int { (0..<count).reversed().reduce(0) { $0 << 8 | Int(bytes[at + $1]) } }
    let directory = number(bytes.count - 6, 4)
    try #require(number(directory, 4) == 0x0201_4b50)
    crcAt = directory + 16
    size = number(directory + 24, 4)
    let header = number(directory + 42, 4)
    start = header + 30 + number(header + 26, 2) + number(header + 28, 2)
  }

  func fixChecksum(_ bytes: inout [UInt8]) {
    let crc = bytes[start..<start + size].withUnsafeBytes { Kernels.crc32($0) }
    for i in 0..<4 { bytes[crcAt + i] = UInt8(crc >> UInt32(8 * i) & 0xff) }
  }
}
