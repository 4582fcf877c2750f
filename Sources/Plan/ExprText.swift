import Columnar
import Compute
import Core

extension Literal: CustomStringConvertible {
  package var description: String {
    switch self {
    case .null: "null"
    case .bool(let b): "\(b)"
    case .int(let i): "\(i)"
    case .double(let d): "\(d)"
    case .string(let s):
      "'" + (s.count > 60 ? s.prefix(60) + "..." : s[...]).replacing("'", with: "\\'").replacing("\n", with: "\\n") + "'"
    case .binary(let b): "<\(b.count) bytes>"
    }
  }
}

extension Expr: CustomStringConvertible {
  /// The expression as a script would write it, near enough: `(label >= 0) & split == 'train'`, `image.cast(Float32) / 255`.
  package var description: String { text(0) }

  private var strength: Int {
    switch self {
    case .or: 1
    case .and: 2
    case .compare: 3
    case .arithmetic(.add, _, _), .arithmetic(.subtract, _, _): 4
    case .arithmetic(.power, _, _): 7
    case .arithmetic: 5
    case .not, .negate: 6
    default: 9
    }
  }

  private func text(_ outer: Int) -> String {
    let own = strength
    let inner: String
    switch self {
    case .column(let name):
      let plain =
        !name.isEmpty
        && name.utf8.allSatisfy { $0 == 95 || ($0 | 32 >= 97 && $0 | 32 <= 122) || ($0 >= 48 && $0 <= 57) || $0 >= 128 }
      inner = plain ? name : "col(\"\(name)\")"
    case .literal(let value): inner = value.description
    case .alias(let e, let name): inner = "\(e.text(9)).alias(\(name))"
    case .arithmetic(let op, let a, let b): inner = "\(a.text(own)) \(op.rawValue) \(b.text(own + 1))"
    case .compare(let op, let a, let b): inner = "\(a.text(own + 1)) \(op.rawValue) \(b.text(own + 1))"
    case .and(let a, let b): inner = "\(a.text(own)) & \(b.text(own))"
    case .or(let a, let b): inner = "\(a.text(own)) | \(b.text(own))"
    case .not(let e): inner = "~\(e.text(own))"
    case .negate(let e): inner = "-\(e.text(own))"
    case .cast(let e, let type, let lenient): inner = "\(e.text(9)).\(lenient ? "try_cast" : "cast")(\(type))"
    case .function(let f, let arguments):
      let rest = arguments.dropFirst().map { $0.text(0) } + f.arguments
      inner = "\(arguments.first?.text(9) ?? "").\(f.name)(\(rest.joined(separator: ", ")))"
    case .when(let cases, let otherwise):
      inner =
        cases.map { "when(\($0.condition.text(0)), \($0.value.text(0)))" }.joined(separator: ".")
        + ".otherwise(\(otherwise.text(0)))"
    case .aggregate(.count, nil): inner = "count()"
    case .aggregate(.quantile(let q), let e): inner = "\(e?.text(9) ?? "").quantile(\(q))"
    case .aggregate(let a, let e): inner = "\(e?.text(9) ?? "").\(a.name)()"
    }
    return own < outer ? "(\(inner))" : inner
  }
}

extension Function {
  /// The name in scripts.
  package var name: String {
    switch self {
    case .isNull: "is_null"
    case .isNotNull: "is_not_null"
    case .isNaN: "is_nan"
    case .isFinite: "is_finite"
    case .coalesce: "coalesce"
    case .between: "between"
    case .isIn: "is_in"
    case .xor: "xor"
    case .math(let f): f.rawValue
    case .round: "round"
    case .clip: "clip"
    case .text(let t): t.rawValue
    case .textTest(let t): t.rawValue
    case .replace: "replace"
    case .slice: "slice"
    case .textLength(let bytes): bytes ? "byte_length" : "length"
    case .concat: "concat"
    case .split: "split"
    case .hash: "hash"
    case .flatten: "flatten"
    case .listLength: "len"
    case .listGet: "get"
    case .listReduce(let r): r.rawValue
    }
  }

  fileprivate var arguments: [String] {
    switch self {
    case .isIn(let values):
      return ["{\(values.prefix(8).map(\.description).joined(separator: ", "))\(values.count > 8 ? ", ..." : "")}"]
    case .round(let digits): return digits == 0 ? [] : ["\(digits)"]
    case .clip(let low, let high): return [low.map { "\($0)" } ?? "nil", high.map { "\($0)" } ?? "nil"]
    case .replace(let old, let new): return [Literal.string(old).description, Literal.string(new).description]
    case .slice(let start, let length): return ["\(start)"] + (length.map { ["\($0)"] } ?? [])
    case .concat(let separator): return separator.isEmpty ? [] : ["separator = " + Literal.string(separator).description]
    case .split(let separator): return [Literal.string(separator).description]
    case .hash(let seed): return seed == 0 ? [] : ["\(seed)"]
    case .listGet(let position): return ["\(position)"]
    default: return []
    }
  }
}
