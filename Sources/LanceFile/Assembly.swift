import Columnar
import Core

/// The way from a leaf out to its top-level field, and back from levels to nested columns.
struct LeafPath: Sendable {
  enum Step: Sendable { case structure, list }
  let leaf: FieldNode
  let shape: LeafShape
  /// The fields around the leaf, innermost first.
  let steps: [Step]
  /// Types of the leaf and of what is around it, each with only this leaf inside.
  let types: [DataType]

  /// `ancestors` from the top-level field down to the leaf's parent.
  init(_ leaf: FieldNode, _ ancestors: [FieldNode]) throws(Failure) {
    self.leaf = leaf
    if case .leaf(let shape) = leaf.kind {
      self.shape = shape
    } else {
      // A packed struct: rows of its members, one value as far as a page is concerned.
      var bits = 0
      var isVariable = false
      for child in leaf.children {
        guard case .leaf(let member) = child.kind, bits < 1 << 34 else {
          throw Failure(.unsupported, "column '\(leaf.field.name)': packed structs of \(child.field.type) are not supported")
        }
        if case .variable = member.storage {
          isVariable = true
          continue
        }
        guard let width = member.bitsPerRow, width % 8 == 0 else {
          throw Failure(.unsupported, "column '\(leaf.field.name)': packed structs of \(child.field.type) are not supported")
        }
        bits += width
      }
      guard bits > 0 || isVariable else {
        throw Failure(.corruptData, "column '\(leaf.field.name)': a packed struct without members")
      }
      shape = try LeafShape(isVariable ? .binary : .fixedSizeBinary(byteWidth: bits / 8))
    }
    var steps: [Step] = []
    var field = Field(leaf.field.name, shape.type, isNullable: leaf.field.isNullable)
    var types = [field.type]
    for node in ancestors.reversed() {
      let type: DataType
      switch node.field.type {
      case .structure:
        steps.append(.structure)
        type = .structure([field])
      case .largeList:
        steps.append(.list)
        type = .largeList(field)
      case .map:
        steps.append(.list)
        type = .map(entries: field)
      default:
        steps.append(.list)
        type = .list(field)
      }
      types.append(type)
      field = Field(node.field.name, type, isNullable: node.field.isNullable)
    }
    self.steps = steps
    self.types = types
  }

  /// The nested column of one piece, with only this leaf inside.
  /// - Throws: `CORRUPT_DATA` when levels and values do not fit.
  func assemble(_ piece: LeafPiece, file: Buffer) throws(Failure) -> Column {
    let layers = piece.nesting.layers
    guard layers.count == steps.count + 1, !layers[0].isList,
      zip(layers.dropFirst(), steps).allSatisfy({ $0.isList == ($1 == .list) })
    else {
      throw Failure(.corruptData, "a page with \(layers.count) layers of nesting for a column of type \(types[steps.count])")
    }
    var column: Column
    switch piece.values {
    case .column(let values): column = values
    case .plain(let offset, let rows): column = try plain(offset, rows, file)
    }
    if piece.def == nil, piece.rep == nil {
      guard column.count == piece.rows else { throw Failure(.corruptData, "\(column.count) values for \(piece.rows) rows") }
      guard !steps.contains(.list) else { throw Failure(.corruptData, "a page of lists without levels") }
      for level in 1..<types.count { column = Column(type: types[level], count: column.count, buffers: [], children: [column]) }
      return column
    }
    var rep = piece.rep ?? []
    var def = piece.def ?? []
    var entries = piece.rep?.count ?? def.count
    guard def.isEmpty || def.count == entries else { throw Failure(.corruptData, "the levels of a page do not fit") }
    var level = 0
    var visible = LeafPath.visible(layers, from: 0, level: 0)
    let values = def.isEmpty ? entries : def.count { $0 <= UInt16(visible) }
    guard values == column.count else { throw Failure(.corruptData, "\(column.count) values where the levels tell \(values)") }
    for (i, layer) in layers.enumerated() {
      switch layer {
      case .item(let nullable):
        if i > 0 { column = Column(type: types[i], count: column.count, buffers: [], children: [column]) }
        guard nullable else { continue }
        level += 1
        if column.nullCount == 0, !def.isEmpty { column = try LeafPath.masked(column, def, below: level, visible: visible) }
      case .list(let nullable, _):
        let inner = visible
        let null = nullable ? level + 1 : -1
        level += layer.levelCount
        visible = LeafPath.visible(layers, from: i + 1, level: level)
        var offsets: [Int64] = []
        var flags: [Bool] = []
        var newRep: [UInt16] = []
        var newDef: [UInt16] = []
        var items: Int64 = 0
        var isOpen = false
        for k in 0..<entries {
          let d = def.isEmpty ? 0 : Int(def[k])
          if rep[k] > 0 {
            newRep.append(rep[k] - 1)
            if !def.isEmpty { newDef.append(def[k]) }
            isOpen = d <= visible
            if isOpen {
              offsets.append(items)
              flags.append(d != null && d <= level)
            }
          }
          if d <= inner {
            guard isOpen else { throw Failure(.corruptData, "the levels of a page name an item outside of any list") }
            items += 1
          } else if rep[k] == 0 {
            guard isOpen else { throw Failure(.corruptData, "the levels of a page begin in the middle of a list") }
          }
        }
        offsets.append(items)
        guard items == column.count else {
          throw Failure(.corruptData, "lists of \(items) items where \(column.count) are there")
        }
        column = try LeafPath.list(types[i], offsets, flags, items: column)
        (rep, def, entries) = (newRep, newDef, newRep.count)
      }
    }
    guard column.count == piece.rows else {
      throw Failure(.corruptData, "\(column.count) rows where the page says \(piece.rows)")
    }
    return column
  }

  /// Highest definition level of entries that have a row in the column of layer `from`: the levels used so far and those of the
  /// items (structs) up to the next list.
  private static func visible(_ layers: [Layer], from: Int, level: Int) -> Int {
    level + layers[from...].prefix { !$0.isList }.reduce(0) { $0 + $1.levelCount }
  }

  /// `column` with the rows null whose definition level is `below` or more. Rows are the entries up to `visible`.
  private static func masked(_ column: Column, _ def: [UInt16], below: Int, visible: Int) throws(Failure) -> Column {
    let bits = try Bitmap.filled(column.offset + column.count, false)
    let limit = UInt16(below)
    var row = column.offset
    if def.count == column.count {
      for d in def {
        if d < limit { Bitmap.set(bits.pointer, row, true) }
        row += 1
      }
    } else {
      for d in def where d <= UInt16(visible) {
        if d < limit { Bitmap.set(bits.pointer, row, true) }
        row += 1
      }
    }
    return Column(
      type: column.type, count: column.count, offset: column.offset, validity: bits, buffers: column.buffers,
      children: column.children)
  }

  static func list(_ type: DataType, _ offsets: [Int64], _ valid: [Bool], items: Column) throws(Failure) -> Column {
    let buffer: Buffer
    if type.hasLargeOffsets {
      buffer = try Buffer(offsets)
    } else {
      guard items.count <= Int(Int32.max) else {
        throw Failure(.memoryLimit, "\(items.count) items do not fit one \(type) column; read fewer rows at once")
      }
      buffer = try Buffer(offsets.map { Int32(truncatingIfNeeded: $0) })
    }
    var validity: Buffer?
    if valid.contains(false) {
      let bits = try Bitmap.filled(valid.count, true)
      for (i, isValid) in valid.enumerated() where !isValid { Bitmap.set(bits.pointer, i, false) }
      validity = bits
    }
    return Column(type: type, count: valid.count, validity: validity, buffers: [buffer], children: [items])
  }

  /// Rows of a plain page: a view of the file where their alignment allows it.
  private func plain(_ offset: Int, _ rows: Int, _ file: Buffer) throws(Failure) -> Column {
    guard let bits = shape.bitsPerRow, case .fixed(let elementBits) = shape.storage else {
      throw Failure(.internalError, "a plain page of variable width")
    }
    let size = try Codec.product(rows, bits / 8)
    let view = try file.slice(offset: offset, byteCount: size)
    let width = elementBits / 8
    let alignment = width & (width - 1) == 0 ? min(width, 16) : 1
    let isAligned = Int(bitPattern: view.pointer) % max(1, alignment) == 0
    let buffer = isAligned ? view : try Buffer(copying: view.bytes)
    return shape.column(rows: rows, buffers: [buffer], validity: shape.sizes.map { _ in nil })
  }
}

extension FieldNode {
  /// Puts the columns of this field's leaves together; each has only its own leaf inside, `nil` = the file lacks it.
  func merge(_ columns: ArraySlice<Column?>, count: Int) throws(Failure) -> Column {
    switch kind {
    case .leaf:
      guard let column = columns.first, let column else { return try Column.nulls(field.type, count: count) }
      return column
    case .packedStructure:
      guard let column = columns.first, let column else { return try Column.nulls(field.type, count: count) }
      return try unpack(column)
    case .structure:
      let outer = columns.lazy.compactMap { $0 }.first
      var members: [Column] = []
      var rest = columns
      for child in children {
        let part = rest.prefix(child.leafCount)
        rest = rest.dropFirst(child.leafCount)
        var inner: [Column?] = []
        for column in part { inner.append(column?.member(0)) }
        members.append(try child.merge(inner[...], count: count))
      }
      return Column(
        type: field.type, count: count, validity: try outer.flatMap { (c) throws(Failure) in try c.ownValidity() }, buffers: [],
        children: members)
    case .list:
      guard let outer = columns.lazy.compactMap({ $0 }).first else { return try Column.nulls(field.type, count: count) }
      var inner: [Column?] = []
      for column in columns {
        if let column, column.children[0].count != outer.children[0].count || column.count != outer.count {
          throw Failure(.corruptData, "the members of the lists in '\(field.name)' differ in length")
        }
        inner.append(column?.children[0])
      }
      let items = try children[0].merge(inner[...], count: outer.children[0].count)
      return Column(
        type: field.type, count: outer.count, offset: outer.offset, validity: outer.validity, buffers: outer.buffers,
        children: [items])
    }
  }

  /// Columns of the file below this field (file versions 2.1 and later).
  var leafCount: Int {
    switch kind {
    case .leaf, .packedStructure: 1
    case .structure, .list: children.reduce(0) { $0 + $1.leafCount }
    }
  }

  /// The leaves below this field, in order, with the fields around them.
  func leaves(_ ancestors: [FieldNode] = []) -> [(FieldNode, [FieldNode])] {
    switch kind {
    case .leaf, .packedStructure: [(self, ancestors)]
    case .structure, .list: children.flatMap { $0.leaves(ancestors + [self]) }
    }
  }

  /// A packed struct's rows taken apart.
  func unpack(_ rows: Column) throws(Failure) -> Column {
    if rows.type.isVariableWidth { return try unpackVariable(rows) }
    let width = rows.type.byteWidth ?? 0
    var members: [Column] = []
    var at = 0
    for child in children {
      let shape = try LeafShape(child.field.type)
      let size = (shape.bitsPerRow ?? 0) / 8
      let out = try Buffer(byteCount: rows.count * size, zeroed: false)
      let base = rows.buffers[0].pointer + rows.offset * width + at
      for i in 0..<rows.count { (out.pointer + i * size).copyMemory(from: base + i * width, byteCount: size) }
      members.append(shape.column(rows: rows.count, buffers: [out], validity: shape.sizes.map { _ in nil }))
      at += size
    }
    return Column(type: field.type, count: rows.count, validity: try rows.ownValidity(), buffers: [], children: members)
  }
}

extension FieldNode {
  /// Rows as `FullZipPage` rewrites them: fixed-width members as they are, others as u32 length and bytes.
  private func unpackVariable(_ rows: Column) throws(Failure) -> Column {
    var sinks: [LeafSink] = []
    for child in children { sinks.append(try LeafSink(try LeafShape(child.field.type), capacity: rows.count)) }
    let widths = try children.map { (child) throws(Failure) in (try LeafShape(child.field.type)).bitsPerRow.map { $0 / 8 } }
    let zeros = try Buffer(byteCount: widths.reduce(0) { max($0, $1 ?? 0) })
    for i in 0..<rows.count {
      let row = rows.bytes(i)
      var reader = ByteReader(row, what: "packed row")
      for (k, width) in widths.enumerated() {
        if let width {
          // A null row is empty.
          let bytes = row.isEmpty ? zeros.bytes : try reader.take(width)
          if let base = bytes.baseAddress { try sinks[k].append(row: base, validityBytes: 0) }
        } else {
          let count = row.isEmpty ? 0 : Int(try reader.read(UInt32.self))
          try sinks[k].append(row.isEmpty ? row : try reader.take(count))
        }
      }
    }
    var members: [Column] = []
    for sink in sinks { members.append(try sink.finish()) }
    return Column(type: field.type, count: rows.count, validity: try rows.ownValidity(), buffers: [], children: members)
  }
}

extension Column {
  /// The validity bits with row 0 at bit 0.
  func ownValidity() throws(Failure) -> Buffer? {
    guard let validity, offset > 0 else { return validity }
    let bits = try Bitmap.filled(count, false)
    Bitmap.copy(validity.pointer, offset, to: bits.pointer, 0, count: count)
    return bits
  }
}
