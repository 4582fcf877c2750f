import Columnar
import Core
import LanceFile
import LanceTable
import TensorKernels

/// Asks one part of a vector index: centroids first, then the rows of the nearest partitions.
struct IVFSearch {
  let index: IVFIndex
  /// Rows that count.
  let mask: RowMask
  /// Place in the table of each fragment that the part covers, by fragment id.
  let fragments: [UInt64: Int]
  /// Physical rows of the table's fragments.
  let physicalRows: [Int]

  /// The `wanted` nearest rows of the `probes` nearest partitions, more partitions while too few rows are found. Distances are exact for plain
  /// vectors, those of the codes for product codes.
  func nearest(_ query: DistanceMeasure, wanted: Int, probes: Int) throws(Failure) -> NearestHeap {
    let order = ranking(query)
    var heap = NearestHeap(wanted)
    var next = 0
    var until = min(order.count, max(1, probes))
    while next < until {
      try Cancellation.check()
      for place in next..<until { try scan(order[place], query, &heap) }
      next = until
      if !heap.isFull { until = min(order.count, until * 2) }
    }
    return heap
  }

  /// Partitions with rows, nearest first.
  private func ranking(_ query: DistanceMeasure) -> [Int] {
    let k = index.partitions.count
    var distances = [Float](repeating: 0, count: k)
    query.query.withUnsafeBufferPointer { q in
      index.centroids.withUnsafeBufferPointer { c in
        distances.withUnsafeMutableBufferPointer { out in
          guard let q = q.baseAddress, let c = c.baseAddress, let out = out.baseAddress else { return }
          if index.metric == .dot {
            Kernels.dots(c, count: k, dim: index.dim, query: q, out: out)
            for j in 0..<k { out[j] = -out[j] }
          } else {
            Kernels.squaredDistances(c, count: k, dim: index.dim, query: q, out: out)
          }
        }
      }
    }
    return (0..<k).filter { !index.partitions[$0].isEmpty }.sorted { (distances[$0], $0) < (distances[$1], $1) }
  }

  private func scan(_ partition: Int, _ query: DistanceMeasure, _ heap: inout NearestHeap) throws(Failure) {
    let rows = index.partitions[partition]
    let scratch = try BufferPool.take(byteCount: rows.count * 8, zeroed: true)
    defer { BufferPool.give(scratch) }
    let sums = scratch.pointer.assumingMemoryBound(to: Float.self)
    let places = (scratch.pointer + rows.count * 4).assumingMemoryBound(to: Int32.self)
    switch index.content {
    case .flat(let file, let projection):
      let vectors = try file.read(projection, rows: rows).columns[0]
      query.measure(vectors.items(), 0, rows.count, sums)
    case .codes(let codes, let code):
      measureCodes(codes, code, partition, rows, query, sums)
    }
    let ids = index.rowIDs.values(of: UInt64.self)
    var at = 0
    while at < rows.count {
      // The bound falls as rows are taken: looked at anew every 1,024 rows.
      let count = min(1024, rows.count - at)
      let found = Kernels.places(atMost: heap.bound, sums + at, count: count, places: places)
      for p in 0..<found {
        let i = at + Int(places[p])
        let address = ids[rows.lowerBound + i]
        guard let fragment = fragments[address >> 32] else { continue }
        let offset = Int(address & 0xFFFF_FFFF)
        let candidate = Candidate(distance: sums[i], row: UInt64(fragment) << 32 | UInt64(offset))
        guard heap.takes(candidate), offset < physicalRows[fragment], mask.contains(fragment, offset) else { continue }
        heap.offer(candidate)
      }
      at += count
    }
    withExtendedLifetime(index) {}
  }

  private func measureCodes(
    _ codes: Buffer, _ code: ProductCode, _ partition: Int, _ rows: Range<Int>, _ query: DistanceMeasure,
    _ sums: UnsafeMutablePointer<Float>
  ) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: code.m * ProductCode.size + index.dim) { scratch in
      guard let table = scratch.baseAddress else { return }
      let residual = table + code.m * ProductCode.size
      for d in 0..<index.dim {
        residual[d] = query.query[d] - (index.metric == .dot ? 0 : index.centroids[partition * index.dim + d])
      }
      code.table(residual, index.metric, into: table)
      let start = UnsafePointer(codes.pointer.assumingMemoryBound(to: UInt8.self)) + rows.lowerBound * code.m
      Kernels.addCodeDistances(table: table, codes: start, m: code.m, count: rows.count, stride: rows.count, sums: sums)
    }
    switch index.metric {
    case .l2: break
    // Vectors of length 1: |x - q|^2 = 2 (1 - cos).
    case .cosine: for i in 0..<rows.count { sums[i] *= 0.5 }
    case .dot: for i in 0..<rows.count { sums[i] = 1 - sums[i] }
    }
    withExtendedLifetime(codes) {}
  }
}
