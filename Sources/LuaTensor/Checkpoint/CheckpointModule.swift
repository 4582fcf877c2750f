import Core
package import LuaHost
import ObjectStore
import Tensors

/// `_checkpoint`: state tables to files and back. `LuaLib/checkpoint.lua` makes state tables of networks, optimizers and loaders.
package enum CheckpointFaces {
  package static let module = Module(
    "_checkpoint", "For LuaLib's checkpoint only: state tables in files.",
    [
      Fn(
        "write",
        "fun(name: string, state: table, opts: {step?: integer, metric?: number, best?: string, keep: integer}): integer",
        "Writes a state as the newest checkpoint of an output, then removes old ones; gives its number."
      ) { call in
        let folder = try folder(call)
        let options = try call.options(3)
        guard let keep = try options.integer("keep", in: 1...1_000_000) else { throw options.bad("keep", "is needed") }
        let smallestIsBest = try options.choice("best", ["max", "min"]).map { $0 == "min" }
        var writer = StateWriter()
        let state = try writer.value(call, 2, path: "")
        let facts = CheckpointFacts(
          step: try options.integer("step"), metric: try options.number("metric"), smallestIsBest: smallestIsBest)
        let number = try folder.add(CheckpointFile(state: state, facts: facts, tensors: writer.tensors))
        do throws(Failure) { try folder.keep(last: keep, smallestIsBest: smallestIsBest) } catch {
          throw error.context("checkpoint \(number) is written, but old ones could not be removed")
        }
        return call.push(number)
      },
      Fn(
        "read", "fun(name: string, number: integer): table",
        "The checkpoint of that number: number, path, step, metric and state."
      ) { call in
        let folder = try folder(call)
        let number = try call.integer(2)
        guard let entry = try folder.entries().first(where: { $0.number == number }) else {
          throw Failure(.fileNotFound, "checkpoint: there is no number \(number) in '\(folder.folder)'")
        }
        let file = try folder.read(entry)
        var tensors: [String: Tensor] = [:]
        for (name, tensor) in file.tensors { tensors[name] = tensor }
        let reader = StateReader(tensors: tensors)
        return try call.pushTable(fields: 5) { t in
          fill(t, entry, file.facts)
          try t.set("state") { try reader.push(file.state, $0) }
        }
      },
      Fn(
        "list", "fun(name: string): table[]",
        "The checkpoints of an output, oldest first: number, path, bytes, modified, and step, metric, best where given."
      ) { call in
        let folder = try folder(call)
        let all = try folder.entries()
        return try call.pushTable(array: all.count) { list in
          for (i, entry) in all.enumerated() {
            let facts = try folder.facts(entry)
            list.set(i + 1) { $0.pushTable(fields: 7) { t in fill(t, entry, facts) } }
          }
        }
      },
      Fn("delete", "fun(name: string, below?: integer)", "Removes all checkpoints of an output, or those with smaller numbers.")
      {
        call in
        let folder = try folder(call)
        if let number = try call.optionalInteger(2) { try folder.deleteAll(below: number) } else { try folder.deleteAll() }
        return 0
      },
      Fn(
        "delete_at_end", "fun(name: string)", "As delete, once the run has ended well; a run that fails keeps its checkpoints."
      ) { call in
        try call.service(CheckpointPlace.self).deleteAtEnd(try call.string(1))
        return 0
      },
    ])

  private static func folder(_ call: borrowing Call) throws(Failure) -> CheckpointFolder {
    try CheckpointFolder(try call.service(CheckpointPlace.self), try call.string(1))
  }

  private static func fill(_ t: borrowing TableBuilder, _ entry: CheckpointFolder.Entry, _ facts: CheckpointFacts) {
    t.set("number", entry.number)
    t.set("path", entry.info.path)
    t.set("bytes", entry.info.size)
    t.set("modified", entry.info.modified.timeInterval)
    if let step = facts.step { t.set("step", step) }
    if let metric = facts.metric { t.set("metric", metric) }
    if let smallestIsBest = facts.smallestIsBest { t.set("best", smallestIsBest ? "min" : "max") }
  }
}
