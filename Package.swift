// swift-tools-version:6.2
// The house plan as a table: one row per room (target), its layer and what it may import.
// A room may import rooms of lower layers only; a row that breaks the rule stops the build (docs/map.md).
//
//   MOONLAKE_ROOMS=Tensors,LanceFile swift test    builds and tests only those rooms and what they stand on
//   MOONLAKE_LENIENT=1 swift build                 compiler warnings stay warnings (for newer compilers)
import Foundation
import PackageDescription

/// One room: a Swift target in `Sources/<name>`, and its tests in `Tests/<name>Tests` where that folder exists.
struct Room {
  var name: String
  var layer: Int
  var needs: [String] = []
  var libraries: [Library] = []
  /// Kernels: optimised in every configuration, without overflow checks, for x86-64-v3 where that is the machine.
  var isKernel = false
  /// Loops over elements: optimised in debug builds too and for x86-64-v3 where that is the machine; checks stay on.
  var isOptimised = false
  var isExecutable = false
  /// Left out unless `MOONLAKE_ROOMS` names it.
  var isExtra = false
  /// Files and folders of the room that are not compiled.
  var leavesOut: [String] = []
}

/// A system library (`Sources/<name>/module.modulemap`) found by pkg-config and installed by apt.
struct SystemLibrary { var name: String, pkgConfig: String, apt: String }

/// A product of another package.
struct Library: Hashable {
  var product: String, package: String
  static func of(_ product: String, _ package: String) -> Library { Library(product: product, package: package) }
  static let grdb = of("GRDB", "GRDB.swift"), yams = of("Yams", "Yams"), protobuf = of("SwiftProtobuf", "swift-protobuf")
  static let arguments = of("ArgumentParser", "swift-argument-parser"), logging = of("Logging", "swift-log")
  static let hummingbird = of("Hummingbird", "hummingbird"), hummingbirdCore = of("HummingbirdCore", "hummingbird")
  static let httpClient = of("AsyncHTTPClient", "async-http-client")
  static let lifecycle = of("ServiceLifecycle", "swift-service-lifecycle"), metrics = of("Metrics", "swift-metrics")
  static let signals = of("UnixSignals", "swift-service-lifecycle")
  static let crypto = of("Crypto", "swift-crypto")
  static let nioCore = of("NIOCore", "swift-nio"), nioPosix = of("NIOPosix", "swift-nio"),
    nioHTTP1 = of("NIOHTTP1", "swift-nio")
  static let httpTypes = of("HTTPTypes", "swift-http-types"), nioHTTPTypes = of("NIOHTTPTypes", "swift-nio-extras")
  static let nioHTTPTypesHTTP1 = of("NIOHTTPTypesHTTP1", "swift-nio-extras")
}

let systemLibraries = [
  SystemLibrary(name: "CLua", pkgConfig: "lua5.4", apt: "liblua5.4-dev"),
  SystemLibrary(name: "COpenBLAS", pkgConfig: "openblas", apt: "libopenblas-dev"),
  SystemLibrary(name: "CZlib", pkgConfig: "zlib", apt: "zlib1g-dev"),
  SystemLibrary(name: "CZstd", pkgConfig: "libzstd", apt: "libzstd-dev"),
  SystemLibrary(name: "CLz4", pkgConfig: "liblz4", apt: "liblz4-dev"),
  SystemLibrary(name: "CXXHash", pkgConfig: "libxxhash", apt: "libxxhash-dev"),
  SystemLibrary(name: "CEdit", pkgConfig: "libedit", apt: "libedit-dev"),
]

let house: [Room] = [
  Room(name: "Core", layer: 1),
  // data tower
  Room(name: "Columnar", layer: 2, needs: ["Core"]),
  Room(name: "ObjectStore", layer: 2, needs: ["Core"]),
  Room(name: "TestSupport", layer: 3, needs: ["ObjectStore", "Core"]),
  Room(
    name: "ObjectStoreS3", layer: 3, needs: ["ObjectStore", "Core"],
    libraries: [.httpClient, .crypto, .nioCore, .nioPosix, .nioHTTP1]),
  Room(name: "Compute", layer: 3, needs: ["Columnar", "Core"], isOptimised: true),
  Room(name: "LanceProto", layer: 3, libraries: [.protobuf], leavesOut: ["Protos"]),
  Room(
    name: "LanceFile", layer: 4, needs: ["Columnar", "ObjectStore", "LanceProto", "Core", "CZstd", "CLz4", "CXXHash"],
    libraries: [.protobuf], isOptimised: true),
  Room(name: "Plan", layer: 4, needs: ["Compute", "Columnar", "Core"]),
  Room(
    name: "LanceTable", layer: 5, needs: ["LanceFile", "LanceProto", "Columnar", "ObjectStore", "Core", "CZstd"],
    libraries: [.protobuf]),
  Room(
    name: "LanceIndex", layer: 6,
    needs: ["LanceTable", "LanceFile", "LanceProto", "Compute", "Columnar", "TensorKernels", "ObjectStore", "Core"],
    libraries: [.protobuf], isOptimised: true),
  Room(name: "Engine", layer: 5, needs: ["Plan", "Compute", "Columnar", "Core"]),
  Room(
    name: "DataFrames", layer: 7,
    needs: ["LanceIndex", "Engine", "Plan", "Compute", "LanceTable", "LanceFile", "Columnar", "ObjectStore", "Core"],
    isOptimised: true),
  Room(name: "Lake", layer: 6, needs: ["LanceTable", "LanceFile", "Columnar", "ObjectStore", "Core"]),
  Room(name: "Upkeep", layer: 7, needs: ["Lake", "LanceIndex", "LanceTable", "Columnar", "ObjectStore", "Core"]),
  // number tower
  Room(name: "TensorKernels", layer: 2, needs: ["Core", "COpenBLAS"], isKernel: true),
  Room(name: "Tensors", layer: 3, needs: ["TensorKernels", "Core"]),
  Room(name: "TensorGraph", layer: 4, needs: ["Tensors", "TensorKernels", "Core"]),
  // ONNX files
  Room(
    name: "ONNX", layer: 5, needs: ["TensorGraph", "Tensors", "TensorKernels", "Core"], libraries: [.protobuf],
    leavesOut: ["Protos"]),
  // script tower
  Room(name: "LuaHost", layer: 2, needs: ["Core", "CLuaHost", "CLua"]),
  Room(
    name: "LuaTensor", layer: 7,
    needs: ["LuaHost", "ONNX", "TensorGraph", "Tensors", "TensorKernels", "ObjectStore", "Core", "CXXHash"]),
  Room(
    name: "LuaData", layer: 8,
    needs: [
      "LuaHost", "DataFrames", "LanceIndex", "Engine", "Plan", "Compute", "Lake", "LanceTable", "LanceFile", "Columnar",
      "ObjectStore", "Core",
    ]),
  Room(name: "LuaSystem", layer: 7, needs: ["LuaHost", "CZlib", "Core"], libraries: [.crypto]),
  Room(
    name: "LuaServe", layer: 7, needs: ["LuaHost", "Core"],
    libraries: [
      .hummingbird, .nioCore, .nioPosix, .nioHTTP1, .nioHTTPTypes, .nioHTTPTypesHTTP1, .httpTypes, .logging, .lifecycle,
    ]),
  Room(
    name: "Script", layer: 9,
    needs: [
      "LuaTensor", "LuaData", "LuaSystem", "LuaServe", "LuaHost", "Tensors", "TensorKernels", "DataFrames", "Lake",
      "LanceTable", "Columnar",
      "ObjectStore", "Core",
    ]),
  // service tower
  Room(name: "Tasks", layer: 2, needs: ["Core"], libraries: [.grdb, .logging]),
  Room(
    name: "Server", layer: 8,
    needs: [
      "Tasks", "Upkeep", "Lake", "DataFrames", "LanceIndex", "Plan", "Compute", "LanceTable", "Columnar", "ObjectStore", "Core",
    ],
    libraries: [
      .hummingbird, .hummingbirdCore, .nioCore, .nioPosix, .nioHTTP1, .nioHTTPTypes, .httpTypes, .logging, .lifecycle, .signals,
    ]),
  // measured by Benchmarks/train
  Room(name: "TensorBench", layer: 3, needs: ["TensorKernels", "Core"], isExecutable: true, isExtra: true),
  // measured by Benchmarks/vector
  Room(
    name: "VectorBench", layer: 7, needs: ["LanceIndex", "LanceTable", "ObjectStore", "Core"], isExecutable: true, isExtra: true
  ),
  // measured by Benchmarks/lance
  Room(
    name: "LanceBench", layer: 8, needs: ["DataFrames", "Plan", "Compute", "LanceTable", "Columnar", "ObjectStore", "Core"],
    isExecutable: true, isExtra: true),
  // composition root
  Room(
    name: "moonlake", layer: 10,
    needs: [
      "Script", "Server", "Tasks", "Upkeep", "Lake", "LuaHost", "LuaTensor", "LuaData", "LuaSystem", "LuaServe", "DataFrames",
      "LanceIndex", "Plan", "LanceTable",
      "Columnar", "ObjectStoreS3", "ObjectStore", "Tensors", "TensorKernels", "Core", "CEdit", "CLuaHost",
    ],
    libraries: [.arguments, .yams, .httpClient, .logging, .lifecycle, .nioCore, .nioHTTP1], isExecutable: true),
]

// The layer check.
var layers = Dictionary(uniqueKeysWithValues: house.map { ($0.name, $0.layer) })
for library in systemLibraries { layers[library.name] = 0 }
layers["CLuaHost"] = 0
for room in house {
  for need in room.needs {
    guard let below = layers[need] else {
      fatalError("Package.swift: room \(room.name) needs \(need), which is not in the table")
    }
    guard below < room.layer else {
      fatalError("Package.swift: \(room.name) (layer \(room.layer)) must not import \(need) (layer \(below))")
    }
  }
}

// The rooms asked for, and what they stand on.
let environment = ProcessInfo.processInfo.environment
var wanted = Set(house.filter { !$0.isExtra }.map(\.name) + systemLibraries.map(\.name) + ["CLuaHost", "CLua"])
if let focus = environment["MOONLAKE_ROOMS"], !focus.isEmpty {
  wanted = []
  var pending = focus.split(separator: ",").map(String.init) + ["TestSupport"]
  while let name = pending.popLast() {
    guard layers[name] != nil else { fatalError("MOONLAKE_ROOMS: no room named \(name)") }
    guard wanted.insert(name).inserted else { continue }
    pending += house.first { $0.name == name }?.needs ?? (name == "CLuaHost" ? ["CLua"] : [])
  }
}

let here = Context.packageDirectory
func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: here + "/" + path) }

var settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6), .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]
if environment["MOONLAKE_LENIENT"] == nil { settings.append(.treatAllWarnings(as: .error)) }
#if arch(x86_64)
  let machineFlags = ["-Xcc", "-march=x86-64-v3"]
#else
  let machineFlags: [String] = []
#endif
let kernelSettings =
  settings + [
    .unsafeFlags(["-O"], .when(configuration: .debug)), .unsafeFlags(["-Ounchecked"], .when(configuration: .release)),
    .unsafeFlags(machineFlags),
  ]

// The program carries the Swift runtime: it starts in a third of the time (measured: 10 ms against 32 ms) and runs on
// machines without Swift. The archives are Foundation's static form, which nothing names for a program of several modules.
#if os(Linux)
  let staticRuntime: [LinkerSetting] =
    [.unsafeFlags(["-static-stdlib"])]
    + [
      "Foundation", "FoundationInternationalization", "CoreFoundation", "FoundationEssentials", "_FoundationICU",
      "_FoundationCShims",
      "_FoundationCollections", "swiftSynchronization", "stdc++",
    ].map { .linkedLibrary($0) }
#else
  let staticRuntime: [LinkerSetting] = []
#endif
let optimisedSettings = settings + [.unsafeFlags(["-O"], .when(configuration: .debug)), .unsafeFlags(machineFlags)]

var targets: [Target] = []
for library in systemLibraries where wanted.contains(library.name) {
  targets.append(.systemLibrary(name: library.name, pkgConfig: library.pkgConfig, providers: [.apt([library.apt])]))
}
if wanted.contains("CLuaHost") { targets.append(.target(name: "CLuaHost", dependencies: ["CLua"])) }
var usedPackages: Set<String> = []
for room in house where wanted.contains(room.name) {
  let dependencies: [Target.Dependency] =
    room.needs.map { .init(stringLiteral: $0) } + room.libraries.map { .product(name: $0.product, package: $0.package) }
  usedPackages.formUnion(room.libraries.map(\.package))
  let ownSettings = room.isKernel ? kernelSettings : room.isOptimised ? optimisedSettings : settings
  if room.isExecutable {
    targets.append(
      .executableTarget(name: room.name, dependencies: dependencies, swiftSettings: ownSettings, linkerSettings: staticRuntime))
  } else {
    targets.append(
      .target(name: room.name, dependencies: dependencies, exclude: room.leavesOut, swiftSettings: ownSettings))
  }
  if exists("Tests/\(room.name)Tests") {
    let own: [Target.Dependency] =
      room.name == "TestSupport" ? ["TestSupport"] : [.init(stringLiteral: room.name), "TestSupport"]
    targets.append(.testTarget(name: "\(room.name)Tests", dependencies: own + dependencies, swiftSettings: settings))
  }
}

let packages: [(name: String, dependency: Package.Dependency)] = [
  ("GRDB.swift", .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0")),
  ("Yams", .package(url: "https://github.com/jpsim/Yams", from: "6.2.0")),
  ("swift-protobuf", .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0")),
  ("swift-argument-parser", .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0")),
  ("swift-log", .package(url: "https://github.com/apple/swift-log", from: "1.14.0")),
  ("swift-metrics", .package(url: "https://github.com/apple/swift-metrics", from: "2.9.0")),
  ("swift-crypto", .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0")),
  ("swift-nio", .package(url: "https://github.com/apple/swift-nio", from: "2.101.0")),
  ("swift-nio-extras", .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.0")),
  ("swift-http-types", .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: [])),
  ("hummingbird", .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0", traits: [])),
  ("swift-service-lifecycle", .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0")),
  ("async-http-client", .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0")),
]

let package = Package(
  name: "moonlake",
  platforms: [.macOS(.v15)],
  products: wanted.contains("moonlake") ? [.executable(name: "moonlake", targets: ["moonlake"])] : [],
  dependencies: packages.filter { usedPackages.contains($0.name) }.map(\.dependency),
  targets: targets
)
