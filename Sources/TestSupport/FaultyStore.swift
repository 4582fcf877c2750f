package import Core
package import ObjectStore

/// An object store in front of another one, whose calls fail as a `FaultPlan` says, with `IO_ERROR`.
package final class FaultyStore: ObjectStore {
  package enum Moment: Sendable, CaseIterable {
    /// The call does nothing.
    case before
    /// The call is carried out and its answer is lost, as an object store's may be.
    case after
  }
  private let base: any ObjectStore
  private let plan: FaultPlan
  private let moment: Moment

  package init(_ base: any ObjectStore, _ plan: FaultPlan, _ moment: Moment = .before) {
    self.base = base
    self.plan = plan
    self.moment = moment
  }

  package var name: String { base.name }
  package var movesAtOnce: Bool { base.movesAtOnce }

  private func call<Result>(_ what: String, _ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    let failure = Failure(.ioError, "cannot \(what): the test wants it so")
    let strikes = plan.strikes()
    if strikes, moment == .before { throw failure }
    let result = try body()
    if strikes { throw failure }
    return result
  }

  package func read(_ path: String) throws(Failure) -> Buffer {
    try call("read '\(path)'") { () throws(Failure) in try base.read(path) }
  }
  package func read(_ path: String, range: Range<Int>) throws(Failure) -> Buffer {
    try call("read '\(path)'") { () throws(Failure) in try base.read(path, range: range) }
  }
  package func head(_ path: String) throws(Failure) -> ObjectInfo? {
    try call("look at '\(path)'") { () throws(Failure) in try base.head(path) }
  }
  package func list(_ folder: String, recursive: Bool) throws(Failure) -> [ObjectInfo] {
    try call("list '\(folder)'") { () throws(Failure) in try base.list(folder, recursive: recursive) }
  }
  package func put(_ path: String, _ bytes: [UInt8]) throws(Failure) {
    try call("write '\(path)'") { () throws(Failure) in try base.put(path, bytes) }
  }
  package func putIfAbsent(_ path: String, _ bytes: [UInt8]) throws(Failure) -> PutResult {
    try call("write '\(path)'") { () throws(Failure) in try base.putIfAbsent(path, bytes) }
  }
  package func create(_ path: String) throws(Failure) -> any ObjectWriter {
    try call("write '\(path)'") { () throws(Failure) -> any ObjectWriter in
      Writer(base: try base.create(path)) { what, body throws(Failure) in
        try self.call("\(what) '\(path)'", body)
      }
    }
  }
  package func delete(_ path: String) throws(Failure) {
    try call("delete '\(path)'") { () throws(Failure) in try base.delete(path) }
  }
  package func deleteTree(_ folder: String) throws(Failure) {
    try call("delete '\(folder)'") { () throws(Failure) in try base.deleteTree(folder) }
  }
  package func moveTree(_ folder: String, to target: String) throws(Failure) {
    try call("move '\(folder)'") { () throws(Failure) in try base.moveTree(folder, to: target) }
  }

  private final class Writer: ObjectWriter {
    private let base: any ObjectWriter
    private let call: (String, () throws(Failure) -> Void) throws(Failure) -> Void

    init(base: any ObjectWriter, call: @escaping (String, () throws(Failure) -> Void) throws(Failure) -> Void) {
      self.base = base
      self.call = call
    }
    var count: Int { base.count }
    func append(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
      try call("write") { () throws(Failure) in try base.append(bytes) }
    }
    func finish() throws(Failure) { try call("finish") { () throws(Failure) in try base.finish() } }
    func abort() { base.abort() }
  }
}
