import Columnar
import Core
import LanceFile
import LanceProto
import LanceTable
import TensorKernels

/// Puts rows into partitions and writes the two files of a vector index; see `IVFIndex` for what is in them.
struct IVFWriter {
  let model: IVFModel
  private var addresses: [UInt64] = []
  private var partition: [Int32] = []
  /// (rows, m), where there are codes.
  private var codes: [UInt8] = []

  init(_ model: IVFModel) { self.model = model }

  /// Finds partition and codes of all rows.
  mutating func add(_ source: VectorRows) throws(Failure) {
    try source.forEachPart { part throws(Failure) in try add(part) }
  }

  private mutating func add(_ part: VectorRows.Part) throws(Failure) {
    let (first, count, dim, m) = (addresses.count, part.count, model.dim, model.code?.m ?? 0)
    guard count <= Int(Int32.max) - first else {
      throw Failure(.unsupported, "an index part of more than 2^31 rows is not supported")
    }
    addresses += part.addresses
    partition += repeatElement(0, count: count)
    codes += repeatElement(0, count: count * m)
    nonisolated(unsafe) let x = UnsafePointer(part.buffer.pointer.assumingMemoryBound(to: Float.self))
    let model = self.model
    let rows = 1024
    var failures = [Failure?](repeating: nil, count: (count + rows - 1) / rows)
    let residuals = try BufferPool.take(byteCount: (count + 1) * (m > 0 ? dim * 4 : 0), zeroed: false)
    defer { BufferPool.give(residuals) }
    nonisolated(unsafe) let r = residuals.pointer.assumingMemoryBound(to: Float.self)
    partition.withUnsafeMutableBufferPointer { partition in
      codes.withUnsafeMutableBufferPointer { codes in
        failures.withUnsafeMutableBufferPointer { failures in
          // Sendable proof: every block writes its own rows and slot, and `forEach` returns when all are done.
          nonisolated(unsafe) let (p, c, f) = (partition.baseAddress, codes.baseAddress, failures)
          Parallel.forEach(count: count, grain: rows) { range in
            guard let p else { return }
            let (from, n) = (range.lowerBound, range.count)
            do throws(Failure) {
              let nearest = p + first + from
              try model.assign(x + from * dim, count: n, nearest: nearest)
              guard let code = model.code, let c else { return }
              model.subtract(x + from * dim, count: n, nearest: nearest, into: r + from * dim)
              try code.encode(r + from * dim, count: n, codes: c + (first + from) * m)
            } catch { f[from / rows] = error }
          }
        }
      }
    }
    withExtendedLifetime(part.buffer) {}
    try Cancellation.check()
    if let failure = failures.lazy.compactMap({ $0 }).first { throw failure }
  }

  /// Writes what was added.
  /// - Parameter source: where the vectors are read from again, for IVF_FLAT.
  func write(to folder: IndexFolder, _ source: VectorRows, _ files: NewFiles) throws(Failure) -> [PBIndexFile] {
    let k = model.partitions
    var lengths = [Int](repeating: 0, count: k)
    for p in partition { lengths[Int(p)] += 1 }
    var offsets = [Int](repeating: 0, count: k)
    for j in 1..<max(1, k) { offsets[j] = offsets[j - 1] + lengths[j - 1] }
    var order = [Int32](repeating: 0, count: partition.count)
    var next = offsets
    for (row, p) in partition.enumerated() {
      order[next[Int(p)]] = Int32(truncatingIfNeeded: row)
      next[Int(p)] += 1
    }
    let index = try writeIndex(folder, files)
    var ivf = PBIVF()
    ivf.offsets = offsets.map { UInt64($0) }
    ivf.lengths = lengths.map { UInt32(truncatingIfNeeded: $0) }
    let lists = try Protobuf.bytes(ivf)
    guard let code = model.code else { return [index, try writeVectors(folder, source, order, lists, files)] }
    return [index, try writeCodes(folder, code, order, offsets, lengths, lists, files)]
  }

  private func writeIndex(_ folder: IndexFolder, _ files: NewFiles) throws(Failure) -> PBIndexFile {
    let k = model.partitions
    let about: JSONValue = [
      "type": .string(model.code == nil ? "IVF_FLAT" : "IVF_PQ"), "distance_type": .string(model.metric.rawValue),
    ]
    let schema = Schema(
      [Field("__flat_marker", .uint64, isNullable: false)],
      metadata: [
        "lance:index": about.text(), "lance:ivf": "1", "lance:flat": JSONValue.array((0..<k).map { _ in "" }).text(),
      ])
    var ivf = PBIVF()
    ivf.offsets = [UInt64](repeating: 0, count: k)
    ivf.lengths = [UInt32](repeating: 0, count: k)
    ivf.centroidsTensor = model.tensor(model.centroids, shape: [k, model.dim])
    return try folder.write("index.idx", schema, globals: [try Protobuf.bytes(ivf)], files) { _ throws(Failure) in }
  }

  private func metadata(_ storage: JSONValue) -> [String: String] {
    [
      "distance_type": model.metric.rawValue, "lance:ivf": "1",
      "storage_metadata": JSONValue.array([.string(storage.text())]).text(),
    ]
  }

  private func writeCodes(
    _ folder: IndexFolder, _ code: ProductCode, _ order: [Int32], _ offsets: [Int], _ lengths: [Int], _ lists: [UInt8],
    _ files: NewFiles
  ) throws(Failure) -> PBIndexFile {
    let m = code.m
    let schema = Schema(
      [Field("_rowid", .uint64), Field("__pq_code", .vector(.uint8, m))],
      metadata: metadata([
        "codebook_position": 2, "nbits": 8, "num_sub_vectors": .int(Int64(m)), "dimension": .int(Int64(model.dim)),
        "codebook_tensor": [], "transposed": true,
      ]))
    let codebook = try Protobuf.bytes(model.tensor(code.codebook, shape: [ProductCode.size, model.dim]))
    return try folder.write("auxiliary.idx", schema, globals: [lists, codebook], files) { writer throws(Failure) in
      var j = 0
      while j < offsets.count {
        try Cancellation.check()
        // Whole partitions, about 64 Ki rows at a time.
        let first = offsets[j]
        var end = j
        while end < offsets.count, end == j || offsets[end] + lengths[end] - first <= 1 << 16 { end += 1 }
        let rows = offsets[end - 1] + lengths[end - 1] - first
        let turned = try Buffer(byteCount: rows * m, zeroed: false)
        let out = turned.mutableValues(of: UInt8.self)
        for part in j..<end {
          let (base, n) = (offsets[part], lengths[part])
          for i in 0..<n {
            let row = Int(order[base + i]) * m
            for s in 0..<m { out[(base - first) * m + s * n + i] = codes[row + s] }
          }
        }
        let ids = try Column.make(.uint64, order[first..<first + rows].map { addresses[Int($0)] })
        if rows > 0 {
          try writer.write(
            try RecordBatch(schema: schema, columns: [ids, Column.vectors(.uint8, size: m, count: rows, buffer: turned)]))
        }
        j = end
      }
    }
  }

  private func writeVectors(
    _ folder: IndexFolder, _ source: VectorRows, _ order: [Int32], _ lists: [UInt8], _ files: NewFiles
  ) throws(Failure) -> PBIndexFile {
    let dim = model.dim
    let schema = Schema(
      [Field("_rowid", .uint64), Field("flat", .vector(.float32, dim))], metadata: metadata(["dim": .int(Int64(dim))]))
    return try folder.write("auxiliary.idx", schema, globals: [lists], files) { writer throws(Failure) in
      var first = 0
      while first < order.count {
        try Cancellation.check()
        let end = min(order.count, first + max(1, (8 << 20) / (dim * 4)))
        let rows = order[first..<end].map { addresses[Int($0)] }
        let vectors = try source.vectors(rows)
        try writer.write(try RecordBatch(schema: schema, columns: [try Column.make(.uint64, rows.map { $0 }), vectors]))
        first = end
      }
    }
  }
}
