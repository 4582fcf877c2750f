import Columnar
import Core
import LanceTable
import TensorKernels

/// The vectors of some fragments as index builds want them: Float32, only rows that are live, whole and finite, of length 1 for
/// the cosine.
struct VectorRows {
  let table: LanceTable
  let column: VectorColumn
  let metric: VectorMetric
  /// Places of the fragments.
  let fragments: [Int]

  /// Live rows, at most those that come out.
  var liveRows: Int { fragments.reduce(0) { $0 + table.fragments[$1].rowCount } }

  /// Vectors back to back, and where they come from.
  struct Part {
    let buffer: Buffer
    let count: Int
    /// Row addresses.
    let addresses: [UInt64]
  }

  /// At most `wanted` rows drawn by the seed, in random order (all rows in random order when there are fewer).
  func sample(_ wanted: Int, seed: UInt64) throws(Failure) -> Part {
    let total = liveRows
    let drawn = Sample.rows(of: total, min(wanted, total), seed: seed)
    var place = [Int32](repeating: -1, count: 0)
    let order = (0..<drawn.count).sorted { drawn[$0] < drawn[$1] }
    // Read in table order, put back into the order of the draw.
    var parts: [(part: Part, first: Int)] = []
    var at = 0
    var before = 0
    for position in fragments {
      let fragment = table.fragments[position]
      let deletions = try table.deletions(fragment: position)
      while at < order.count, drawn[order[at]] < before + fragment.rowCount {
        let end = min(order.count, at + (1 << 16))
        let stop = order[at..<end].firstIndex { drawn[$0] >= before + fragment.rowCount } ?? end
        let offsets = order[at..<stop].map { deletions.physical(drawn[$0] - before) }
        let vectors = try table.takePhysical(fragment: position, columns: [column.name], offsets: offsets).columns[0]
        let kept = kept(vectors, offsets.count) { _ in true }
        parts.append((try gather(vectors, kept, fragment.id) { offsets[$0] }, place.count))
        for i in kept { place.append(Int32(truncatingIfNeeded: order[at + i])) }
        at = stop
      }
      before += fragment.rowCount
    }
    let dim = column.dim
    let buffer = try Buffer(byteCount: place.count * dim * 4, zeroed: false)
    // Rows in the order of the draw, without gaps where some fell out.
    var rank = [Int32](repeating: -1, count: drawn.count)
    for (i, draw) in place.enumerated() { rank[Int(draw)] = Int32(truncatingIfNeeded: i) }
    var source: [(Buffer, Int)] = []
    source.reserveCapacity(place.count)
    for (part, _) in parts { for i in 0..<part.count { source.append((part.buffer, i)) } }
    var to = 0
    for i in rank where i >= 0 {
      let (from, row) = source[Int(i)]
      (buffer.pointer + to * dim * 4).copyMemory(from: from.pointer + row * dim * 4, byteCount: dim * 4)
      to += 1
    }
    return Part(buffer: buffer, count: place.count, addresses: [])
  }

  /// All rows, part by part, in table order.
  func forEachPart(_ body: (Part) throws(Failure) -> Void) throws(Failure) {
    for position in fragments {
      let deletions = try table.deletions(fragment: position)
      for run in try table.runs(fragment: position, column: column.name, most: 1 << 16) {
        try Cancellation.check()
        let vectors = try table.readPhysical(fragment: position, columns: [column.name], rows: run).columns[0]
        var isLive: [Bool]?
        if deletions.touches(run) {
          var bits = [Bool](repeating: false, count: run.count)
          for i in deletions.live(in: run) { bits[Int(i)] = true }
          isLive = bits
        }
        let kept = kept(vectors, run.count) { isLive?[$0] ?? true }
        guard !kept.isEmpty else { continue }
        try body(try gather(vectors, kept, table.fragments[position].id) { run.lowerBound + $0 })
      }
    }
  }

  /// Rows of `vectors` that can be indexed.
  private func kept(_ vectors: Column, _ count: Int, _ isLive: (Int) -> Bool) -> [Int] {
    let items = vectors.items()
    let hasNulls = vectors.nullCount > 0 || items.nullCount > 0
    var kept: [Int] = []
    kept.reserveCapacity(count)
    withUnsafeTemporaryAllocation(of: Float.self, capacity: max(1, count)) { norms in
      guard let out = norms.baseAddress else { return }
      let x = UnsafePointer(items.buffers[0].pointer.assumingMemoryBound(to: Float.self)) + items.offset
      Kernels.squaredNorms(x, count: count, dim: column.dim, out: out)
      for i in 0..<count where out[i].isFinite && isLive(i) && (!hasNulls || VectorColumn.isWhole(vectors, i, column.dim)) {
        kept.append(i)
      }
    }
    withExtendedLifetime(items) {}
    return kept
  }

  func gather(_ vectors: Column, _ kept: [Int], _ fragment: UInt64, _ offset: (Int) -> Int) throws(Failure) -> Part {
    let (items, dim) = (vectors.items(), column.dim)
    let addresses = kept.map { fragment << 32 | UInt64(offset($0)) }
    if kept.count == vectors.count, metric != .cosine {
      let bytes = try items.buffers[0].slice(offset: items.offset * 4, byteCount: items.count * 4)
      return Part(buffer: bytes, count: kept.count, addresses: addresses)
    }
    let buffer = try Buffer(byteCount: kept.count * dim * 4, zeroed: false)
    let out = buffer.pointer.assumingMemoryBound(to: Float.self)
    let x = UnsafePointer(items.buffers[0].pointer.assumingMemoryBound(to: Float.self)) + items.offset
    for (to, i) in kept.enumerated() {
      var scale: Float = 1
      if metric == .cosine {
        let square = (0..<dim).reduce(Float(0)) { $0 + x[i * dim + $1] * x[i * dim + $1] }
        scale = square > 0 ? 1 / square.squareRoot() : 1
      }
      for d in 0..<dim { out[to * dim + d] = x[i * dim + d] * scale }
    }
    withExtendedLifetime(items) {}
    return Part(buffer: buffer, count: kept.count, addresses: addresses)
  }
}

extension VectorRows {
  /// The vectors at `addresses`, in that order, as they are indexed.
  func vectors(_ addresses: [UInt64]) throws(Failure) -> Column {
    let dim = column.dim
    let buffer = try Buffer(byteCount: addresses.count * dim * 4, zeroed: false)
    let places = Dictionary(uniqueKeysWithValues: fragments.map { (table.fragments[$0].id, $0) })
    let order = addresses.indices.sorted { addresses[$0] < addresses[$1] }
    var at = 0
    while at < order.count {
      let id = addresses[order[at]] >> 32
      let end = order[at...].firstIndex { addresses[$0] >> 32 != id } ?? order.count
      guard let position = places[id] else {
        throw Failure(.internalError, "fragment \(id) is not one of those that are indexed")
      }
      let offsets = order[at..<end].map { Int(addresses[$0] & 0xFFFF_FFFF) }
      let vectors = try table.takePhysical(fragment: position, columns: [column.name], offsets: offsets).columns[0]
      let part = try gather(vectors, Array(0..<offsets.count), id) { offsets[$0] }
      for (i, to) in order[at..<end].enumerated() {
        (buffer.pointer + to * dim * 4).copyMemory(from: part.buffer.pointer + i * dim * 4, byteCount: dim * 4)
      }
      at = end
    }
    return Column.vectors(.float32, size: dim, count: addresses.count, buffer: buffer)
  }
}
