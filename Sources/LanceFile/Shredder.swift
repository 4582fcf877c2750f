import Columnar
import Core

/// Rows of one leaf on their way into a page: visible values and, for nested leaves, levels.
struct LeafRows {
  var values: Column
  /// Levels in the numbering of `LeafPath.writeLayers`; empty for top-level leaves and where all are 0.
  var rep: [UInt16] = []
  var def: [UInt16] = []
  var rows: Int
}

extension LeafPath {
  /// The layers of nested pages that we write, leaf first, as the schema allows nulls.
  static func writeLayers(_ leaf: FieldNode, _ ancestors: [FieldNode]) -> [Layer] {
    var layers: [Layer] = [.item(nullable: leaf.field.isNullable)]
    for node in ancestors.reversed() {
      if case .list = node.kind {
        layers.append(.list(nullable: node.field.isNullable, emptyable: true))
      } else {
        layers.append(.item(nullable: node.field.isNullable))
      }
    }
    return layers
  }

  /// Takes the values of one leaf out of a top-level column, with levels that tell the nesting.
  /// - Throws: `INVALID_ARGUMENT` for a null where the schema allows none.
  static func shred(_ column: Column, _ leaf: FieldNode, _ ancestors: [FieldNode]) throws(Failure) -> LeafRows {
    let nodes = ancestors + [leaf]
    guard nodes.count > 1 else {
      try requireValid(column, leaf)
      return LeafRows(values: try column.decodingDictionary().named(like: leaf.field.type), rows: column.count)
    }
    let layers = writeLayers(leaf, ancestors)
    let lists = layers.count { $0.isList }
    var rep = [UInt16](repeating: UInt16(lists), count: lists > 0 ? column.count : 0)
    var def = [UInt16](repeating: 0, count: column.count)
    /// Row of each entry in `current`; -1 for entries without a value.
    var index = Array(0..<column.count)
    var current = column
    var listsLeft = lists
    for (depth, node) in nodes.enumerated() {
      let layer = nodes.count - 1 - depth
      let inner = layers[..<layer].reduce(0) { $0 + $1.levelCount }
      let null = UInt16(inner + 1)
      if current.nullCount > 0 {
        for k in index.indices where index[k] >= 0 && def[k] == 0 && !current.isValid(index[k]) {
          guard node.field.isNullable else {
            throw Failure(.invalidArgument, "'\(node.field.name)' is declared as never null, but a value of it is null")
          }
          def[k] = null
        }
      }
      guard depth < nodes.count - 1 else { break }
      if case .list = node.kind {
        let empty = UInt16(inner) + UInt16(layers[layer].levelCount)
        listsLeft -= 1
        var newRep: [UInt16] = []
        var newDef: [UInt16] = []
        var newIndex: [Int] = []
        for k in index.indices {
          let span = index[k] >= 0 && def[k] == 0 ? current.range(index[k]) : 0..<0
          if span.isEmpty {
            newRep.append(rep[k])
            newDef.append(index[k] >= 0 && def[k] == 0 ? empty : def[k])
            newIndex.append(-1)
          } else {
            newRep.append(rep[k])
            newRep.append(contentsOf: repeatElement(UInt16(listsLeft), count: span.count - 1))
            newDef.append(contentsOf: repeatElement(0, count: span.count))
            newIndex.append(contentsOf: span)
          }
        }
        (rep, def, index) = (newRep, newDef, newIndex)
        current = current.children[0]
      } else {
        let member = node.children.firstIndex { $0 === nodes[depth + 1] } ?? 0
        current = current.member(member)
      }
    }
    let visible = index.filter { $0 >= 0 }
    let values: Column
    if let first = visible.first, let last = visible.last, last - first == visible.count - 1 {
      values = current.slice(first, visible.count)
    } else {
      values = try current.take(visible.map { Int32(truncatingIfNeeded: $0) })
    }
    if !def.contains(where: { $0 > 0 }) { def = [] }
    return LeafRows(
      values: try values.decodingDictionary().named(like: leaf.field.type), rep: rep, def: def, rows: column.count)
  }

  static func requireValid(_ column: Column, _ node: FieldNode) throws(Failure) {
    guard column.nullCount == 0 || node.field.isNullable else {
      let row = (0..<column.count).first { !column.isValid($0) } ?? 0
      throw Failure(.invalidArgument, "'\(node.field.name)' is declared as never null, but row \(row + 1) of the batch is null")
    }
  }
}

/// The memory of a leaf column without its fixed-size lists.
struct FlatValues {
  let shape: LeafShape
  let rows: Int
  /// The innermost column.
  let element: Column
  /// Its first element that belongs to row 0.
  let first: Int
  /// For each fixed-size list the bits of its items and the first one that counts; nil where no item is null.
  let validity: [(bits: Buffer, first: Int)?]

  init(_ column: Column, _ shape: LeafShape) {
    self.shape = shape
    rows = column.count
    var current = column
    var first = column.offset
    var count = column.count
    var validity: [(bits: Buffer, first: Int)?] = []
    for size in shape.sizes {
      let child = current.children[0]
      first = first * size + child.offset
      count *= size
      if let bits = child.validity, FlatValues.hasNulls(bits, first, perRow: count / max(1, column.count), column) {
        validity.append((bits, first))
      } else {
        validity.append(nil)
      }
      current = child
    }
    element = current
    self.first = first
    self.validity = validity
  }

  /// True when an item of a row that is not null is null: some producers mark all items of null rows, which says nothing.
  private static func hasNulls(_ bits: Buffer, _ first: Int, perRow: Int, _ rows: Column) -> Bool {
    let items = rows.count * perRow
    guard Bitmap.countSet(bits.pointer, offset: first, count: items) < items else { return false }
    guard rows.nullCount > 0 else { return true }
    return (0..<rows.count).contains {
      rows.isValid($0) && Bitmap.countSet(bits.pointer, offset: first + $0 * perRow, count: perRow) < perRow
    }
  }

  /// The bytes of row 0; only for elements of whole bytes.
  var base: UnsafeRawPointer {
    UnsafeRawPointer(element.buffers[0].pointer) + first * ((element.type.bitWidth ?? 8) / 8)
  }

  /// The rows' bytes, sharing memory.
  func buffer() throws(Failure) -> Buffer {
    let width = (element.type.bitWidth ?? 8) / 8
    return try element.buffers[0].slice(offset: first * width, byteCount: rows * shape.factor * width)
  }
}

extension Column {
  /// The column under another type of the same layout: the items of fixed-size lists may have other names.
  func named(like other: DataType) -> Column {
    guard type != other, case .fixedSizeList(let item, _) = other, case .fixedSizeList = type, children.count == 1 else {
      return self
    }
    return Column(
      type: other, count: count, offset: offset, validity: validity, buffers: buffers,
      children: [children[0].named(like: item.type)],
      nullCount: nullCount)
  }
}
