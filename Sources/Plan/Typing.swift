package import Columnar
import Compute
package import Core

extension Literal {
  /// The type a constant takes when it meets a column of type `other`: the column's own where the value fits it, so that
  /// `u8 < 10` stays u8 and `f32 / 255` stays f32; else int64, f64, string. Text that meets a date or timestamp is read as one.
  package func type(meeting other: DataType?) -> DataType {
    var target = other
    while let list = target, case .fixedSizeList(let item, _) = list { target = item.type }
    switch self {
    case .null: return .null
    case .bool: return .bool
    case .binary: return target == .largeBinary ? .largeBinary : .binary
    case .string:
      switch target {
      case .largeUtf8?, .date32?, .timestamp?: return target ?? .utf8
      default: return .utf8
      }
    case .double: return target == .float32 || target == .float16 ? .float32 : .float64
    case .int(let value):
      switch target {
      case .float32?, .float64?: return target ?? .float64
      case .float16?: return .float32
      case .int8? where Int8(exactly: value) != nil, .int16? where Int16(exactly: value) != nil,
        .int32? where Int32(exactly: value) != nil, .uint8? where UInt8(exactly: value) != nil,
        .uint16? where UInt16(exactly: value) != nil, .uint32? where UInt32(exactly: value) != nil,
        .uint64? where UInt64(exactly: value) != nil:
        return target ?? .int64
      default: return .int64
      }
    }
  }

  /// One row holding the value, as `type`.
  package func column(_ type: DataType) throws(Failure) -> Column {
    let plain: Column
    switch self {
    case .null: return try Column.nulls(type, count: 1)
    case .bool(let b): plain = try .bool([b])
    case .int(let i): plain = try .int64([i])
    case .double(let d): plain = try .float64([d])
    case .string(let s): plain = try .utf8([s])
    case .binary(let b): plain = try .binary([b])
    }
    do throws(Failure) { return try Cast.cast(plain, to: type) } catch {
      var copy = error
      copy.place = nil
      copy.details = [:]
      throw copy
    }
  }
}

extension Expr {
  /// The type of the expression over `schema`.
  /// - Throws: `COLUMN_NOT_FOUND`, or `TYPE_MISMATCH` naming the expression and the types in it.
  package func type(in schema: Schema) throws(Failure) -> DataType {
    func fail(_ why: String) -> Failure { Failure(.typeMismatch, "\(self): \(why)") }
    func bool(_ e: Expr, _ role: String) throws(Failure) {
      let type = try e.type(in: schema)
      guard type == .bool || type == .null else { throw fail("\(role) must be Boolean, but \(e) is \(type)") }
    }
    switch self {
    case .column(let name):
      let type = try schema.field(name).type
      if case .dictionary(_, let value) = type { return value }
      return type
    case .literal(let value): return value.type(meeting: nil)
    case .alias(let e, _): return try e.type(in: schema)
    case .arithmetic(let op, let a, let b):
      let (x, y) = try Expr.meeting(a, b, schema)
      guard let type = Promotion.arithmetic(op, x, y) else { throw fail("\(x) \(op.rawValue) \(y) is not possible") }
      return type
    case .compare(let op, let a, let b):
      let (x, y) = try Expr.meeting(a, b, schema)
      guard Comparison.comparable(x, y) != nil else { throw fail("\(x) \(op.rawValue) \(y) is not possible") }
      return .bool
    case .and(let a, let b), .or(let a, let b):
      try bool(a, "both sides")
      try bool(b, "both sides")
      return .bool
    case .not(let e):
      try bool(e, "the operand of ~")
      return .bool
    case .negate(let e):
      let type = try e.type(in: schema)
      guard let result = Arithmetic.negated(type) else { throw fail("-\(type) is not possible") }
      return result
    case .cast(let e, let wanted, _):
      let type = try e.type(in: schema)
      let target = Cast.target(type, wanted)
      guard Cast.isPossible(type, target) else { throw fail("\(type) cannot be cast to \(target)") }
      return target
    case .function(let f, let arguments): return try functionType(f, arguments, schema)
    case .when(let cases, let otherwise):
      for c in cases { try bool(c.condition, "the condition") }
      return try Expr.common(cases.map(\.value) + [otherwise], schema, self)
    case .aggregate(let aggregate, let e):
      guard let e else { return .int64 }
      if e.hasAggregate { throw fail("an aggregate cannot stand inside another") }
      let type = try e.type(in: schema)
      guard let result = aggregate.resultType(type) else { throw fail("\(aggregate.name) does not take \(type) values") }
      return result
    }
  }

  /// The types of two operands; a constant adapts to the other side.
  static func meeting(_ a: Expr, _ b: Expr, _ schema: Schema) throws(Failure) -> (DataType, DataType) {
    switch (a, b) {
    case (.literal(let x), .literal(let y)):
      let type = x.type(meeting: nil)
      return (type, y.type(meeting: type))
    case (.literal(let x), _):
      let type = try b.type(in: schema)
      return (x.type(meeting: type), type)
    case (_, .literal(let y)):
      let type = try a.type(in: schema)
      return (type, y.type(meeting: type))
    default: return (try a.type(in: schema), try b.type(in: schema))
    }
  }

  /// The one type of several values: what the columns meet in, constants adapting to it.
  static func common(_ values: [Expr], _ schema: Schema, _ whole: Expr) throws(Failure) -> DataType {
    var result: DataType?
    func add(_ type: DataType, _ e: Expr) throws(Failure) {
      guard let old = result else {
        result = type
        return
      }
      guard let meet = Promotion.common(old, type) else {
        throw Failure(.typeMismatch, "\(whole): the values are \(old) and \(type); cast them to one type")
      }
      result = meet
    }
    for e in values { if case .literal = e {} else { try add(try e.type(in: schema), e) } }
    for e in values { if case .literal(let value) = e { try add(value.type(meeting: result), e) } }
    return result ?? .null
  }

  private func functionType(_ f: Function, _ arguments: [Expr], _ schema: Schema) throws(Failure) -> DataType {
    func fail(_ why: String) -> Failure { Failure(.typeMismatch, "\(self): \(why)") }
    guard let first = arguments.first else { throw fail("an argument is missing") }
    func string(_ e: Expr) throws(Failure) {
      let type = try e.type(in: schema)
      guard type.isString || type == .null else { throw fail("\(f.name) needs a String, but \(e) is \(type)") }
    }
    switch f {
    case .isNull, .isNotNull:
      _ = try first.type(in: schema)
      return .bool
    case .isNaN, .isFinite:
      let type = try first.type(in: schema)
      guard type.isNumeric || type == .null else { throw fail("\(f.name) needs a number, but \(first) is \(type)") }
      return .bool
    case .coalesce: return try Expr.common(arguments, schema, self)
    case .between:
      for bound in arguments.dropFirst() {
        let (x, y) = try Expr.meeting(first, bound, schema)
        guard Comparison.comparable(x, y) != nil else { throw fail("\(x) cannot be between \(y) values") }
      }
      return .bool
    case .isIn(let values):
      let type = try first.type(in: schema)
      for value in values {
        let other = value.type(meeting: type)
        guard Comparison.comparable(type, other) != nil else { throw fail("\(type) cannot be equal to \(value)") }
      }
      return .bool
    case .xor:
      for e in arguments {
        let type = try e.type(in: schema)
        guard type == .bool || type == .null else { throw fail("both sides must be Boolean, but \(e) is \(type)") }
      }
      return .bool
    case .math(let function):
      let type = try first.type(in: schema)
      guard let result = Math.resultType(function, type) else {
        throw fail("\(f.name) needs a number, but \(first) is \(type)")
      }
      return result
    case .round, .clip:
      let type = try first.type(in: schema)
      guard let result = Math.resultType(.abs, type) else { throw fail("\(f.name) needs a number, but \(first) is \(type)") }
      return result
    case .text, .replace, .slice:
      try string(first)
      return .utf8
    case .textTest, .concat:
      for e in arguments { try string(e) }
      if case .concat = f { return .utf8 }
      return .bool
    case .textLength:
      try string(first)
      return .int64
    case .split:
      try string(first)
      return .list(Field("item", .utf8))
    case .hash:
      let type = try first.type(in: schema)
      guard Hashing.isKey(type) else { throw fail("\(type) values have no hash") }
      return .int64
    case .flatten:
      let type = try first.type(in: schema)
      guard let result = Lists.flattened(type) else { throw fail("flatten needs a list, but \(first) is \(type)") }
      return result
    case .listLength, .listGet:
      let type = try first.type(in: schema)
      guard let item = Lists.item(type) else { throw fail("\(f.name) needs a list, but \(first) is \(type)") }
      if case .listGet = f { return item }
      return .int64
    case .listReduce(let how):
      let type = try first.type(in: schema)
      guard let result = Lists.reduced(how, type) else {
        throw fail("\(f.name) needs a list of numbers, but \(first) is \(type)")
      }
      return result
    }
  }
}
