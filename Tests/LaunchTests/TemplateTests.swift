import Foundation
import TestSupport
import Testing

/// The batch files of `launch/`, with stand-ins for the batch systems, and the Kubernetes manifest against its schema.
@Suite(.serialized) struct TemplateTests {
  let package: ScriptPackage
  init() throws { package = try ScriptPackage() }

  /// Runs a batch file with a `launch/run` that tells what it was given, and does `body`.
  func batch(_ file: String, _ body: String, _ environment: [String: String]) throws -> Outcome {
    try package.write("#!/bin/bash\necho \"job $FREEWHEEL_JOB: $*\"\n\(body)\n", to: "launch/run")
    for name in ["scontrol", "qsub"] {
      try package.write("#!/bin/bash\necho \"\(name) $*\"\n", to: "bin/\(name)")
    }
    let path = "\(package.root.path)/bin:\(ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")"
    return try package.run([], script: file, environment: environment.merging(["PATH": path]) { $1 })
  }

  var slurm: [String: String] {
    ["SLURM_SUBMIT_DIR": package.root.path, "SLURM_JOB_ID": "17", "SLURM_NTASKS": "32", "SLURM_CPUS_PER_TASK": "2"]
  }

  func pbs() throws -> [String: String] {
    try package.write("n1\nn1\nn2\n", to: "nodes")
    return ["PBS_O_WORKDIR": package.root.path, "PBS_JOBID": "17.host", "PBS_NODEFILE": "\(package.root.path)/nodes"]
  }

  @Test(arguments: [0, 75, 1])
  func slurmIsQueuedAgainWhenThereIsMoreToDo(_ code: Int32) throws {
    let outcome = try batch("launch/slurm.sbatch", "exit \(code)", slurm)
    #expect(outcome.code == code, "\(outcome)")
    var lines = ["job slurm-17: mnist --no-build -n 32 --threads 2 --restarts 3 -- --epochs 14"]
    if code == 75 { lines.append("scontrol requeue 17") }
    #expect(outcome.output.split(separator: "\n").map(String.init) == lines)
  }

  @Test(arguments: [0, 75, 1])
  func aJobOfPBSIsSubmittedAgainUnderItsFirstName(_ code: Int32) throws {
    for (given, name) in [("", "pbs-17.host"), ("pbs-3.host", "pbs-3.host")] {
      let outcome = try batch("launch/pbs.pbs", "exit \(code)", try pbs().merging(["FREEWHEEL_JOB": given]) { $1 })
      #expect(outcome.code == code, "\(outcome)")
      var lines = ["job \(name): mnist --no-build -n 3 --threads 1 --restarts 3 -- --epochs 14"]
      if code == 75 { lines.append("qsub -v FREEWHEEL_JOB=\(name) launch/pbs.pbs") }
      #expect(outcome.output.split(separator: "\n").map(String.init) == lines)
    }
  }

  @Test(arguments: ["launch/slurm.sbatch", "launch/pbs.pbs"], [SIGUSR1, SIGTERM])
  func aWarningIsHandedOn(_ file: String, _ signal: Int32) throws {
    // What launch/run does with it is its own business; here it is enough that it comes.
    let environment = file.hasSuffix("pbs") ? try pbs() : slurm
    try package.write(
      "#!/bin/bash\ntrap 'echo warned; exit 75' USR1\nsleep 0.5\nkill -\(signal) $PPID\nfor i in {1..200}; do sleep 0.05; done\n",
      to: "launch/run")
    for name in ["scontrol", "qsub"] { try package.write("#!/bin/bash\necho again\n", to: "bin/\(name)") }
    let path = "\(package.root.path)/bin:\(ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")"
    let outcome = try package.run([], script: file, environment: environment.merging(["PATH": path]) { $1 })
    #expect(outcome.code == 75 && outcome.output == "warned\nagain\n", "\(outcome)")
  }

  @Test func theTimeOfPBSIsThatOfItsDirective() throws {
    let text = try String(contentsOf: packageRoot.appendingPathComponent("launch/pbs.pbs"), encoding: .utf8)
    let hours = try #require(text.firstMatch(of: /#PBS -l walltime=(\d\d):00:00/)).1
    #expect(text.contains("seconds=$((\(Int(hours) ?? 0) * 3600))"))
  }

  // MARK: - Kubernetes

  /// What a field may hold.
  indirect enum Kind: Sendable {
    case text
    case number
    case oneOf([String])
    case list(of: Kind)
    case map(of: Kind)
    case fields([String: Kind], required: [String])
  }

  /// Those fields of MPIJob v2beta1 that the manifest uses or that come up most, as kubeflow/mpi-operator has them in
  /// pkg/apis/kubeflow/v2beta1/types.go (commit 013fa15), kubeflow/common in ReplicaSpec, and Kubernetes in core/v1.
  static let schema: Kind = {
    let volume = Kind.fields(
      [
        "name": .text,
        "emptyDir": .fields(["medium": .oneOf(["Memory", ""]), "sizeLimit": .text], required: []),
        "persistentVolumeClaim": .fields(["claimName": .text], required: ["claimName"]),
      ], required: ["name"])
    let container = Kind.fields(
      [
        "name": .text, "image": .text, "command": .list(of: .text), "args": .list(of: .text), "workingDir": .text,
        "env": .list(
          of: .fields(
            [
              "name": .text, "value": .text,
              "valueFrom": .fields(["fieldRef": .fields(["fieldPath": .text], required: ["fieldPath"])], required: []),
            ], required: ["name"])),
        "resources": .fields(["limits": .map(of: .text), "requests": .map(of: .text)], required: []),
        "volumeMounts": .list(of: .fields(["name": .text, "mountPath": .text], required: ["name", "mountPath"])),
      ], required: ["name", "image"])
    let pod = Kind.fields(
      [
        "terminationGracePeriodSeconds": .number,
        "securityContext": .fields(["runAsUser": .number, "fsGroup": .number], required: []),
        "containers": .list(of: container), "volumes": .list(of: volume),
      ], required: ["containers"])
    let replica = Kind.fields(
      [
        "replicas": .number, "restartPolicy": .oneOf(["Never", "OnFailure"]),
        "template": .fields(["spec": pod, "metadata": .map(of: .text)], required: ["spec"]),
      ], required: ["template"])
    let policy = Kind.fields(
      [
        "cleanPodPolicy": .oneOf(["All", "Running", "None"]), "ttlSecondsAfterFinished": .number,
        "activeDeadlineSeconds": .number, "backoffLimit": .number,
      ], required: [])
    return .fields(
      [
        "apiVersion": .oneOf(["kubeflow.org/v2beta1"]), "kind": .oneOf(["MPIJob"]),
        "metadata": .fields(["name": .text], required: ["name"]),
        "spec": .fields(
          [
            "slotsPerWorker": .number, "runPolicy": policy, "sshAuthMountPath": .text,
            "mpiImplementation": .oneOf(["OpenMPI", "Intel"]),
            "mpiReplicaSpecs": .fields(["Launcher": replica, "Worker": replica], required: ["Launcher", "Worker"]),
          ], required: ["mpiReplicaSpecs"]),
      ], required: ["apiVersion", "kind", "metadata", "spec"])
  }()

  /// What of a value is not as its schema says.
  static func complaints(_ value: YAML, _ kind: Kind, _ path: String = "") -> [String] {
    switch (kind, value) {
    case (.text, .text): return []
    case (.number, .text(let text)): return Int(text) == nil ? ["\(path): '\(text)' is no number"] : []
    case (.oneOf(let allowed), .text(let text)):
      return allowed.contains(text) ? [] : ["\(path): '\(text)' is not one of \(allowed)"]
    case (.list(let kind), .list(let items)):
      return items.enumerated().flatMap { complaints($1, kind, "\(path)[\($0)]") }
    case (.map(let kind), .map(let entries)): return entries.flatMap { complaints($1, kind, "\(path).\($0)") }
    case (.fields(let fields, let required), .map(let entries)):
      return required.filter { entries[$0] == nil }.map { "\(path): '\($0)' is missing" }
        + entries.flatMap { name, value in
          fields[name].map { complaints(value, $0, "\(path).\(name)") } ?? ["\(path): there is no field '\(name)'"]
        }
    default: return ["\(path): is of another kind"]
    }
  }

  static func manifest() throws -> String {
    try String(contentsOf: packageRoot.appendingPathComponent("launch/kubernetes/mpijob.yaml"), encoding: .utf8)
  }

  @Test func theManifestFitsTheOperatorsTypes() throws {
    let document = try YAML(parsing: Self.manifest())
    #expect(Self.complaints(document, Self.schema) == [])

    // The check finds what is wrong.
    for (right, wrong, complaint) in [
      ("slotsPerWorker: 4", "slotsPerWorkers: 4", "there is no field 'slotsPerWorkers'"),
      ("backoffLimit: 3", "backoffLimit: many", "'many' is no number"),
      ("cleanPodPolicy: Running", "cleanPodPolicy: Sometimes", "'Sometimes' is not one of"),
      ("kind: MPIJob", "kind: Job", "'Job' is not one of"),
      ("mountPath: /dev/shm", "path: /dev/shm", "'mountPath' is missing"),
    ] {
      let text = try Self.manifest().replacing(right, with: wrong)
      let complaints = Self.complaints(try YAML(parsing: text), Self.schema)
      #expect(complaints.contains { $0.contains(complaint) }, "\(complaints)")
    }
  }

  @Test func theManifestFitsItself() throws {
    let document = try YAML(parsing: Self.manifest())
    let replicas = try #require(document["spec", "mpiReplicaSpecs"])
    var images: Set<String> = []
    for role in ["Launcher", "Worker"] {
      let pod = try #require(replicas[role, "template", "spec"])
      let container = try #require(pod["containers", "0"])
      images.insert(try #require(container["image"]?.string))
      // Each volume that is mounted is there.
      let volumes = Set(try #require(pod["volumes"]?.items).compactMap { $0["name"]?.string })
      let mounted = Set(try #require(container["volumeMounts"]?.items).compactMap { $0["name"]?.string })
      #expect(volumes == mounted)
    }
    #expect(images.count == 1)
    // A core for each rank.
    #expect(
      replicas["Worker", "template", "spec", "containers", "0", "resources", "limits", "cpu"]
        == document["spec", "slotsPerWorker"])

    // The launcher's words are ones that launch/run takes.
    let launcher = try #require(replicas["Launcher", "template", "spec", "containers", "0"])
    let words = (launcher["command"]?.items ?? []) + (launcher["args"]?.items ?? [])
    var arguments = words.compactMap(\.string)
    #expect(arguments.removeFirst() == "launch/run")
    let hosts = try #require(arguments.firstIndex(of: "/etc/mpi/hostfile"))
    try package.write(
      "mnist-worker-0.mnist.default.svc slots=4\nmnist-worker-1.mnist.default.svc slots=4\n", to: "hosts")
    arguments[hosts] = "hosts"
    let outcome = try package.run(arguments + [], environment: [:])
    // Nothing is built in this package; all else was taken.
    #expect(outcome.code == 1 && outcome.errors.contains("mnist is not there"), "\(outcome)")
  }

  @Test func theImageHasWhatTheManifestNames() throws {
    let document = try YAML(parsing: Self.manifest())
    let image = try String(
      contentsOf: packageRoot.appendingPathComponent("launch/kubernetes/Containerfile"), encoding: .utf8)
    let home = try #require(document["spec", "sshAuthMountPath"]?.string)
    #expect(image.contains("AuthorizedKeysFile \(home)/authorized_keys"))
    let worker = try #require(
      document["spec", "mpiReplicaSpecs", "Worker", "template", "spec", "containers", "0", "command"]?.items)
    #expect(image.contains(try #require(worker.last?.string)))
    // What is copied into it is there.
    for match in image.matches(of: /(?m)^COPY (?!--from)(.+) \S+$/) {
      for name in match.1.split(separator: " ") {
        #expect(
          FileManager.default.fileExists(atPath: packageRoot.appendingPathComponent(String(name)).path), "\(name)")
      }
    }
  }
}
