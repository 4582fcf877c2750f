import Columnar
import Core
import DataFrames
import Lake
import LanceTable
package import LuaHost
import ObjectStore

/// `require "lake"`: the data sets and models of the lake. `LuaLib/lake.lua` adds models as objects.
package enum LuaLake {
  /// What `Script` registers.
  package static let entries = [
    ModuleEntry("df", LuaDataFrames.module), ModuleEntry("lake", module), ModuleEntry("_lake", internals),
  ]

  package static let module = Module(
    "lake", "Data sets and models of the lake: open, list, delete, save_model, model.",
    [
      Fn(
        "open", "fun(name: string, opts?: {version?: integer, tag?: string, as_of?: string}): Table",
        "A data set of the lake by name (also name#version, name@tag or its path), or a .lance folder below a data root. With a version, tag or time it is that version for good, to be read only."
      ) { call in try call.push(object: LuaTable.open(call)) },
      Fn("exists", "fun(name: string): boolean", "True when there is a data set or model of that name.") { call in
        let lake = try call.service(DataLake.self)
        let reference = try lake.reference(try call.string(1))
        for kind in reference.kind.map({ [$0] }) ?? LakeKind.allCases where try lake.exists(kind, reference.id) {
          return call.push(true)
        }
        return call.push(false)
      },
      Fn("list", "fun(): string[]", "Names of all data sets.") { call in
        call.push(try call.service(DataLake.self).names(.dataset))
      },
      Fn("datasets", "fun(): table[]", "All data sets with schema, num_rows, version, bytes.") { call in
        call.push(JSONValue.array(try call.service(DataLake.self).datasets().map { .object($0.json) }))
      },
      Fn("models", "fun(): table[]", "All models with metrics, hyperparameters, version.") { call in
        call.push(JSONValue.array(try call.service(DataLake.self).models().map { .object($0.json(detailed: false)) }))
      },
      Fn(
        "delete", "fun(name: string, opts?: {kind?: string})",
        "Deletes a data set with all its versions (kind = \"model\": a model)."
      ) { call in
        let lake = try call.service(DataLake.self)
        let kind: LakeKind = try call.options(2).choice("kind", ["dataset", "model"]) == "model" ? .model : .dataset
        let reference = try lake.resolve(try call.string(1), kind: kind)
        try lake.delete(kind, reference.id)
        return 0
      },
      Fn(
        "versions", "fun(name: string): table[]",
        "Versions of a data set or model, oldest first: version, time, operation, rows."
      ) { call in
        let lake = try call.service(DataLake.self)
        let found = try lake.resolve(try call.string(1))
        return call.push(try LuaTable.versions(lake.location(found.kind ?? .dataset, found.id)))
      },
    ], types: [LuaTable.luaType])

  /// For LuaLib's lake only.
  package static let internals = Module(
    "_lake", "Models as plain data.",
    [
      Fn(
        "save",
        "fun(name: string, model: {graph: table, weights: string, metrics?: table, hyperparameters?: table, signature?: any, labels?: any, lineage?: table, curves?: any}): integer",
        "Saves a model; gives its version."
      ) { call in
        let lake = try call.service(DataLake.self)
        let text = try call.string(1)
        guard let reference = try lake.resolveOutput(text) else {
          throw Failure(.invalidRequest, "save_model: the output is empty; give the model's name")
        }
        if reference.kind == .dataset {
          throw Failure(.invalidRequest, "'\(text)' is the path of a data set, where a model is to be saved")
        }
        let options = try call.options(2)
        let (graph, metrics, params) = (
          try options.json("graph"), try options.json("metrics"), try options.json("hyperparameters")
        )
        let (signature, labels) = (try options.json("signature"), try options.json("labels"))
        let (lineage, curves) = (try options.json("lineage"), try options.json("curves"))
        let weights = try call.withField(2, "weights") {
          guard call.isString(-1) else { throw Failure(.plain, "save: weights must be a string") }
          return try call.withBytes(-1) { raw in try Buffer(copying: raw) }
        }
        let record = ModelRecord(
          name: reference.id, graph: graph ?? .object([:]), weights: weights, metrics: object(metrics),
          hyperparameters: object(params), signature: signature ?? .null, labels: labels ?? .null, lineage: object(lineage),
          curves: curves ?? .array([]))
        return call.push(Int(clamping: try lake.saveModel(reference.id, record)))
      },
      Fn(
        "load", "fun(name: string, opts?: {version?: integer}): table",
        "A model's record: name, version, path, graph, metrics, ..., weights as bytes."
      ) { call in
        let lake = try call.service(DataLake.self)
        let reference = try lake.resolve(try call.string(1), kind: .model)
        let version =
          try call.options(2).integer("version", in: 1...Int.max).map { TableVersion.number(UInt64($0)) } ?? reference.version
        let (record, number) = try lake.loadModel(reference.id, version: version)
        return call.pushTable(fields: 12) { table in
          table.set("name", reference.id)
          table.set("path", lake.shownPath(.model, reference.id))
          table.set("version", Int(clamping: number))
          table.set("graph", record.graph)
          table.set("metrics", record.metrics)
          table.set("params", record.hyperparameters)
          table.set("signature", record.signature)
          table.set("labels", record.labels)
          table.set("lineage", record.lineage)
          table.set("curves", record.curves)
          table.set("created_at", record.createdAt.description)
          table.set("weights") { $0.push(bytes: record.weights.bytes) }
        }
      },
      Fn("version_of", "fun(name: string): integer|nil", "The newest version of a data set or model; nil when there is none.") {
        call in
        let lake = try call.service(DataLake.self)
        guard let found = try? lake.resolve(try call.string(1)),
          let table = try? lake.open(found.kind ?? .dataset, found.id, version: found.version)
        else { return call.pushNil() }
        return call.push(Int(clamping: table.version))
      },
    ])

  /// An empty Lua table is an empty object here.
  private static func object(_ value: JSONValue?) -> JSONValue {
    if case .array(let items)? = value, items.isEmpty { return .object([:]) }
    return value ?? .object([:])
  }

  /// Where a script writes rows.
  static func output(_ call: borrowing Call, _ text: String) throws(Failure) -> TableLocation {
    let lake = try call.service(DataLake.self)
    guard let reference = try lake.resolveOutput(text) else {
      throw Failure(.invalidRequest, "write: the output is empty; give the data set's name")
    }
    if reference.kind == .model {
      throw Failure(.invalidRequest, "'\(text)' is the path of a model, where rows are to be written")
    }
    return lake.location(.dataset, reference.id)
  }
}
