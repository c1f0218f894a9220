// swift-tools-version: 6.2
// Freewheel: data-parallel training over MPI with Schedule-Free optimizers.
import PackageDescription

/// C element-wise loops keep their speed in debug builds, where the Swift around them has none.
let kernelFlags: [CSetting] = [.unsafeFlags(["-O3", "-fno-math-errno"])]

let package = Package(
  name: "freewheel",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "MPI", targets: ["MPI"]),
    .library(name: "ScheduleFree", targets: ["ScheduleFree"]),
    .library(name: "Neural", targets: ["Neural"]),
    .library(name: "DataParallel", targets: ["DataParallel"]),
    .library(name: "Datasets", targets: ["Datasets"]),
    .library(name: "Checkpoints", targets: ["Checkpoints"]),
    .library(name: "Training", targets: ["Training"]),
    .library(name: "Report", targets: ["Report"]),
    .executable(name: "freewheel", targets: ["freewheel"]),
    .executable(name: "mnist", targets: ["mnist"]),
    .executable(name: "cifar10", targets: ["cifar10"]),
    .executable(name: "schedules", targets: ["schedules"]),
    .executable(name: "convex", targets: ["convex"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-atomics", from: "1.2.0"),
    .package(url: "https://github.com/apple/swift-system", from: "1.4.0"),
  ],
  targets: [
    // System libraries and C.
    .systemLibrary(name: "COpenMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev", "openmpi-bin"])]),
    .systemLibrary(name: "COneDNN", providers: [.apt(["libdnnl-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .target(name: "CMPI", dependencies: ["COpenMPI"]),
    .target(name: "CMonitoring"),
    .target(name: "CKernels", cSettings: kernelFlags, linkerSettings: [.linkedLibrary("m")]),

    // The rooms. Imports run downward only.
    .target(name: "MPI", dependencies: ["CMPI"]),
    .target(name: "ScheduleFree", dependencies: ["CKernels"]),
    .target(name: "Monitoring", dependencies: ["CMonitoring", .product(name: "Atomics", package: "swift-atomics")]),
    .target(name: "Neural", dependencies: ["COneDNN", "CKernels"]),
    .target(
      name: "DataParallel",
      dependencies: [
        "MPI", "Monitoring", "ScheduleFree", "CKernels", .product(name: "Atomics", package: "swift-atomics"),
      ]),
    // CKernels for batch assembly: a loop over every pixel of every step, which must be quick in debug builds too.
    .target(
      name: "Datasets", dependencies: ["CKernels", "CZlib", .product(name: "SystemPackage", package: "swift-system")]),
    .target(name: "Checkpoints", dependencies: ["CZlib", .product(name: "SystemPackage", package: "swift-system")]),
    .target(
      name: "Training",
      dependencies: [
        "CMonitoring", "MPI", "Monitoring", "ScheduleFree", "Neural", "DataParallel", "Datasets", "Checkpoints",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "SystemPackage", package: "swift-system"),
      ]),
    .target(name: "Report"),

    // Programs.
    .executableTarget(
      name: "freewheel",
      dependencies: [
        "CKernels", "Checkpoints", "DataParallel", "Datasets", "MPI", "Monitoring", "Neural", "ScheduleFree",
        "Training",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "SystemPackage", package: "swift-system"),
      ]),
    .executableTarget(
      name: "mnist",
      dependencies: [
        "MPI", "Neural", "Training", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "examples/mnist"),
    .executableTarget(
      name: "cifar10",
      dependencies: [
        "Datasets", "MPI", "Neural", "Training", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "examples/cifar10"),
    .executableTarget(
      name: "schedules",
      dependencies: [
        "Checkpoints", "MPI", "Neural", "Report", "Training",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      path: "examples/schedules"),
    .executableTarget(
      name: "convex",
      dependencies: [
        "Checkpoints", "DataParallel", "Datasets", "MPI", "Report", "ScheduleFree", "Training",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      path: "examples/convex"),
    .executableTarget(name: "least-squares", dependencies: ["ScheduleFree"], path: "examples/least-squares"),
    .executableTarget(
      name: "least-squares-parallel", dependencies: ["DataParallel", "MPI", "ScheduleFree"],
      path: "examples/least-squares-parallel"),

    // Tests: one target per room, helpers that tests start under mpirun, and tests that start them.
    .target(name: "TestSupport", path: "Tests/TestSupport"),
    .target(name: "ProbeSupport", dependencies: ["Neural"], path: "Tests/ProbeSupport"),
    .target(name: "RuleSupport", dependencies: ["ScheduleFree"], path: "Tests/RuleSupport"),
    .executableTarget(name: "mpi-probe", dependencies: ["MPI"], path: "Tests/Programs/mpi-probe"),
    .executableTarget(
      name: "exchange-probe", dependencies: ["DataParallel", "MPI", "ProbeSupport", "RuleSupport", "ScheduleFree"],
      path: "Tests/Programs/exchange-probe"),
    .executableTarget(
      name: "checkpoint-probe",
      dependencies: ["Checkpoints", .product(name: "SystemPackage", package: "swift-system")],
      path: "Tests/Programs/checkpoint-probe"),
    .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
    .executableTarget(
      name: "allocation-probe", dependencies: ["Neural", "CAllocationCounter"],
      path: "Tests/Programs/allocation-probe"),
    .executableTarget(
      name: "step-allocation-probe",
      dependencies: [
        "DataParallel", "Datasets", "MPI", "Neural", "RuleSupport", "ScheduleFree", "CAllocationCounter",
      ],
      path: "Tests/Programs/step-allocation-probe"),
    .executableTarget(
      name: "golden-probe", dependencies: ["DataParallel", "MPI", "ProbeSupport", "RuleSupport", "ScheduleFree"],
      path: "Tests/Programs/golden-probe"),
    .executableTarget(
      name: "resume-probe", dependencies: ["Datasets", "MPI", "Neural", "ProbeSupport", "ScheduleFree", "Training"],
      path: "Tests/Programs/resume-probe"),
    .executableTarget(
      name: "lanes-probe", dependencies: ["Datasets", "MPI", "Neural", "ProbeSupport", "Training"],
      path: "Tests/Programs/lanes-probe"),
    .executableTarget(
      name: "normalization-probe",
      dependencies: [
        "Checkpoints", "Datasets", "MPI", "Neural", "ProbeSupport", "Training",
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      path: "Tests/Programs/normalization-probe"),
    .executableTarget(
      name: "watch-probe",
      dependencies: [
        "MPI", "Neural", "Training", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Tests/Programs/watch-probe"),
    .testTarget(name: "MPITests", dependencies: ["MPI", "TestSupport"]),
    .testTarget(
      name: "ScheduleFreeTests", dependencies: ["ScheduleFree", "CKernels", "RuleSupport"], exclude: ["Goldens"]),
    .testTarget(
      name: "NeuralTests",
      dependencies: ["Neural", "Checkpoints", "CKernels", "TestSupport", "allocation-probe"], exclude: ["Goldens"]),
    .testTarget(
      name: "DataParallelTests",
      dependencies: ["DataParallel", "ScheduleFree", "TestSupport", "exchange-probe", "golden-probe"]),
    .testTarget(name: "MonitoringTests", dependencies: ["Monitoring"]),
    .testTarget(name: "DatasetsTests", dependencies: ["Datasets", "TestSupport"]),
    .testTarget(name: "CheckpointsTests", dependencies: ["Checkpoints", "TestSupport", "checkpoint-probe"]),
    .testTarget(
      name: "TrainingTests",
      dependencies: [
        "Monitoring", "Training", "Checkpoints", "Datasets", "Neural", "ScheduleFree", "TestSupport", "mnist",
        "cifar10", "freewheel",
        "resume-probe", "lanes-probe", "normalization-probe", "step-allocation-probe", "watch-probe",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      exclude: ["Goldens"]),
    .testTarget(
      name: "ConvexTests",
      dependencies: [
        "convex", "Datasets", "TestSupport", .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "SystemPackage", package: "swift-system"),
      ]),
    .testTarget(
      name: "DocumentationTests", dependencies: ["TestSupport", "least-squares", "least-squares-parallel"]),
    .testTarget(name: "LaunchTests", dependencies: ["TestSupport", "mnist"]),
    .testTarget(name: "ReportTests", dependencies: ["Report", "TestSupport"]),
    .testTarget(
      name: "SchedulesTests",
      dependencies: [
        "Report", "TestSupport", "schedules", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
  ],
  swiftLanguageModes: [.v6]
)

// Warnings are errors where this is asked for, as in .ci/run; a newer compiler's warnings stop no user.
if Context.environment["FREEWHEEL_WARNINGS"] == "error" {
  for target in package.targets where target.type != .system {
    target.swiftSettings = (target.swiftSettings ?? []) + [.treatAllWarnings(as: .error)]
    if ["CMPI", "CMonitoring", "CKernels"].contains(target.name) {
      target.cSettings = (target.cSettings ?? []) + [.treatAllWarnings(as: .error)]
    }
  }
}
