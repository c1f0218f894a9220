internal import Foundation

/// What Open MPI is told of TCP connections between hosts before it starts, unless its environment or a flag of mpirun
/// says something else. (Its parameter files count less than the environment.)
///
/// Training sends messages of some hundred KiB in both directions at once, and wants the urgent ones to be there soon:
/// - Messages up to 512 KiB travel at once. Above Open MPI's own limit of 64 KiB a message is announced, and sent when
///   the receiver has answered; but the answer waits behind the bytes that go the other way, so that the link idles.
/// - The system's buffer of a connection holds a millisecond's bytes, not megabytes that all that is sent later waits
///   for; but on networks faster than 10 Gbit/s, where that would be too little, it is as large as the system likes.
enum TCPDefaults {
  /// 512 KiB and Open MPI's headers.
  private static let eagerBytes = (512 << 10) + 1024
  private static let sendBufferBytes = 128 << 10
  /// Mbit/s.
  private static let largestSpeedToBound = 10_000

  /// Sets the environment that `MPI_Init` reads. To be called before it, while there is one thread.
  static func apply() {
    let environment = ProcessInfo.processInfo.environment
    func count(_ name: String) -> Int { environment[name].flatMap { Int($0) } ?? 1 }
    // On one host nothing goes over TCP.
    guard count("OMPI_COMM_WORLD_SIZE") > count("OMPI_COMM_WORLD_LOCAL_SIZE") else { return }
    for name in ["eager_limit", "rndv_eager_limit", "max_send_size"] { set(name, eagerBytes) }
    if !hasFastInterface() { set("sndbuf", sendBufferBytes) }
  }

  /// Fails only where there is no memory for the variable; the job then runs with Open MPI's own value.
  private static func set(_ name: String, _ value: Int) { _ = setenv("OMPI_MCA_btl_tcp_\(name)", String(value), 0) }

  /// Whether a network interface that is up says it is faster than ``largestSpeedToBound``; those of virtual machines
  /// often do not say how fast they are.
  private static func hasFastInterface() -> Bool {
    let folder = "/sys/class/net"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.contains { name in
      func read(_ file: String) -> String? {
        (try? String(contentsOfFile: "\(folder)/\(name)/\(file)", encoding: .utf8))?
          .trimmingCharacters(in: .whitespacesAndNewlines)
      }
      return read("operstate") == "up" && (read("speed").flatMap { Int($0) } ?? 0) > largestSpeedToBound
    }
  }
}
