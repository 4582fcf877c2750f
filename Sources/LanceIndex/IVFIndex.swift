import Columnar
import Compute
import Core
import LanceFile
import LanceProto
import LanceTable
import ObjectStore
import Synchronization
import TensorKernels

/// An opened vector index part: vectors grouped by their nearest centroid ("inverted file"), as Lance lays it out.
///
///     index.idx       no rows. metadata `lance:index` {"type", "distance_type"}, `lance:ivf` -> global buffer with IVF
///                     (centroids (k, dim))
///     auxiliary.idx   all rows, partition after partition. `_rowid` u64 and `flat` FSL<f32, dim> or `__pq_code` FSL<u8, m>
///                     metadata `lance:ivf` -> IVF (offsets, lengths), `storage_metadata` -> ["{...}"]
///
/// With the cosine, all vectors are of length 1 and compared by l2. Product codes are of the residual x - centroid for l2 and
/// cosine, of x for dot; inside of a partition they lie sub-vector by sub-vector. Immutable; shared by threads.
final class IVFIndex: Sendable {
  let metric: VectorMetric
  let dim: Int
  /// (k, dim)
  let centroids: [Float]
  /// Row range of each partition.
  let partitions: [Range<Int>]
  /// Row addresses, u64.
  let rowIDs: Buffer
  let content: Content

  enum Content: Sendable {
    /// Vectors as Float32 or Float64, read partition by partition.
    case flat(LanceFileReader, LanceProjection)
    /// Codes of all rows, partition by partition, in each one (m, rows).
    case codes(Buffer, ProductCode)
  }

  /// - Throws: `CORRUPT_DATA`, `UNSUPPORTED` naming the file.
  init(_ folder: IndexFolder, dim: Int) throws(Failure) {
    let index = try folder.open("index.idx")
    let auxiliary = try folder.open("auxiliary.idx")
    func fail(_ file: LanceFileReader, _ why: String) -> Failure { Failure(.corruptData, "\(file.path): \(why)") }
    guard let about = try? JSONValue(parsing: Array(try index.required("lance:index").utf8)),
      let type = about["type"]?.stringValue,
      let metric = about["distance_type"]?.stringValue.flatMap({ VectorMetric(rawValue: $0) })
    else { throw fail(index, "its 'lance:index' does not name a type and a metric") }
    self.metric = metric
    self.dim = dim
    centroids = try IVFIndex.numbers(try index.globalMessage("lance:ivf", PBIVF.self).centroidsTensor, index.path)
    let lists = try auxiliary.globalMessage("lance:ivf", PBIVF.self)
    guard lists.lengths.count * dim == centroids.count, lists.offsets.count == lists.lengths.count else {
      throw fail(
        auxiliary,
        "\(lists.offsets.count) offsets and \(lists.lengths.count) lengths of partitions with \(centroids.count) centroid numbers"
      )
    }
    var partitions: [Range<Int>] = []
    for (offset, length) in zip(lists.offsets, lists.lengths) {
      guard offset <= UInt64(auxiliary.rowCount), UInt64(length) <= UInt64(auxiliary.rowCount) - offset else {
        throw fail(auxiliary, "a partition of \(length) rows at \(offset) of \(auxiliary.rowCount)")
      }
      partitions.append(Int(offset)..<Int(offset) + Int(length))
    }
    self.partitions = partitions
    let whole = try auxiliary.wholeFile()
    let ids = try auxiliary.read(try whole.selecting(["_rowid"]), rows: 0..<auxiliary.rowCount).columns[0]
    guard ids.type == .uint64, ids.nullCount == 0 else { throw fail(auxiliary, "its row ids are \(ids.type)") }
    rowIDs = try ids.buffers[0].slice(offset: ids.offset * 8, byteCount: ids.count * 8)
    switch type {
    case "IVF_FLAT":
      let vectors = try whole.selecting(["flat"])
      guard case .fixedSizeList(let item, dim) = vectors.schema.fields[0].type, [.float32, .float64].contains(item.type) else {
        throw Failure(.unsupported, "\(auxiliary.path): vectors of \(vectors.schema.fields[0].type) are not supported")
      }
      content = .flat(auxiliary, vectors)
    case "IVF_PQ": content = try IVFIndex.codes(auxiliary, whole, partitions, dim)
    default: throw Failure(.unsupported, "\(index.path): indices of type '\(type)' are not supported")
    }
  }

  private static func codes(
    _ file: LanceFileReader, _ whole: LanceProjection, _ partitions: [Range<Int>], _ dim: Int
  ) throws(Failure) -> Content {
    let text = try file.required("storage_metadata")
    guard let list = try? JSONValue(parsing: Array(text.utf8)), let inner = list.arrayValue?.first?.stringValue,
      let about = try? JSONValue(parsing: Array(inner.utf8)), let m = about["num_sub_vectors"]?.intValue.map({ Int($0) }),
      m > 0,
      dim % m == 0, let position = about["codebook_position"]?.intValue
    else {
      throw Failure(.corruptData, "\(file.path): its 'storage_metadata' does not describe product codes of \(dim) numbers")
    }
    guard about["nbits"]?.intValue == 8 else {
      throw Failure(.unsupported, "\(file.path): product codes of \(about["nbits"]?.intValue ?? 0) bits are not supported")
    }
    let codebook = try numbers(try file.globalMessage(Int(position), PBIndexTensor.self), file.path)
    guard codebook.count == ProductCode.size * dim else {
      throw Failure(.corruptData, "\(file.path): a codebook of \(codebook.count) numbers for vectors of \(dim)")
    }
    let column = try file.read(try whole.selecting(["__pq_code"]), rows: 0..<file.rowCount).columns[0]
    guard case .fixedSizeList(let item, m) = column.type, item.type == .uint8 else {
      throw Failure(.corruptData, "\(file.path): its codes are \(column.type), not \(m) bytes")
    }
    let items = column.items()
    let bytes = try items.buffers[0].slice(offset: items.offset, byteCount: items.count)
    let code = ProductCode(dim: dim, m: m, codebook: codebook)
    if about["transposed"]?.boolValue == true { return .codes(bytes, code) }
    let turned = try Buffer(byteCount: bytes.byteCount, zeroed: false)
    for range in partitions {
      let (from, to) = (bytes.values(of: UInt8.self), turned.mutableValues(of: UInt8.self))
      for (i, row) in range.enumerated() {
        for s in 0..<m { to[range.lowerBound * m + s * range.count + i] = from[row * m + s] }
      }
    }
    withExtendedLifetime(bytes) {}
    return .codes(turned, code)
  }

  /// A tensor's numbers as Float.
  private static func numbers(_ tensor: PBIndexTensor, _ path: String) throws(Failure) -> [Float] {
    let count = tensor.shape.reduce(1) { $0.multipliedReportingOverflow(by: Int($1)).partialValue }
    let width: Int
    switch tensor.dataType {
    case .float16: width = 2
    case .float32: width = 4
    case .float64: width = 8
    default: throw Failure(.unsupported, "\(path): a tensor of the element type \(tensor.dataType) is not supported")
    }
    guard count >= 0, count <= 1 << 40, tensor.data.count == count * width else {
      throw Failure(.corruptData, "\(path): a tensor of shape \(tensor.shape) with \(tensor.data.count) bytes")
    }
    let bytes = [UInt8](tensor.data)
    switch width {
    case 4: return (0..<count).map { i in bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: i * 4, as: Float.self) } }
    case 8:
      return (0..<count).map { i in bytes.withUnsafeBytes { Float($0.loadUnaligned(fromByteOffset: i * 8, as: Double.self)) } }
    default:
      let halves = Column(type: .float16, count: count, buffers: [try Buffer(bytes)])
      let column = try Cast.cast(halves, to: .float32)
      return withExtendedLifetime(column) { Array(column.values(of: Float.self)) }
    }
  }
}

/// Opened index parts of this process, the least recently used given up first. Index files never change, so their folder names them.
enum OpenIndices {
  private struct State {
    var open: [String: (index: IVFIndex, used: UInt64)] = [:]
    var clock: UInt64 = 0
  }
  private static let state = Mutex(State())
  private static let most = 16

  static func index(_ folder: IndexFolder, dim: Int) throws(Failure) -> IVFIndex {
    let key = folder.location.store.name + "\n" + folder.path("") + "\n\(dim)"
    let known: IVFIndex? = state.withLock { state in
      state.clock += 1
      state.open[key]?.used = state.clock
      return state.open[key]?.index
    }
    if let known { return known }
    let index = try IVFIndex(folder, dim: dim)
    state.withLock { state in
      if state.open.count >= most, let oldest = state.open.min(by: { $0.value.used < $1.value.used })?.key {
        state.open[oldest] = nil
      }
      state.open[key] = (index, state.clock)
    }
    return index
  }
}
