import Glibc

/// An address that datagrams can be sent to, IPv4.
public struct HeartbeatAddress: Sendable, Equatable {
  /// In network byte order.
  public let host: UInt32
  /// In host byte order.
  public let port: UInt16

  /// An address from its numbers.
  public init(host: UInt32, port: UInt16) { (self.host, self.port) = (host, port) }
}

/// Sends and receives heartbeats between hosts: datagrams, so that nothing is ever waited for, and outside MPI, which
/// may be what is stuck.
public final class HeartbeatSocket: Sendable {
  /// Where this process can be reached: one address for each network of the host.
  public let addresses: [HeartbeatAddress]
  let descriptor: Int32

  /// Opens a socket on a port that the system chooses.
  ///
  /// - Throws: ``MonitoringError``.
  public init() throws(MonitoringError) {
    let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw MonitoringError(call: "socket", code: errno) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        bind(descriptor, pointer, length) == 0 ? getsockname(descriptor, pointer, &length) : -1
      }
    }
    guard result == 0 else {
      let code = errno
      close(descriptor)
      throw MonitoringError(call: "bind", code: code)
    }
    self.descriptor = descriptor
    let port = UInt16(bigEndian: address.sin_port)
    let hosts = HostNetwork.all.map(\.address).prefix(Self.mostAddresses)
    // A host without a network can still reach itself.
    addresses = (hosts.isEmpty ? [UInt32(0x7F00_0001).bigEndian] : Array(hosts)).map {
      HeartbeatAddress(host: $0, port: port)
    }
  }

  deinit { close(descriptor) }

  /// Datagrams are sent to so many addresses of a host at most.
  private static let mostAddresses = 8

  /// Sends to all addresses of a host: which of its networks is ours too, nobody has to say. What cannot be sent is
  /// lost, as what is sent may be.
  func send(_ heartbeat: Heartbeat, to addresses: [HeartbeatAddress]) {
    withUnsafeTemporaryAllocation(byteCount: Heartbeat.byteCount, alignment: 8) { bytes in
      heartbeat.write(to: bytes)
      for target in addresses {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = target.host
        address.sin_port = target.port.bigEndian
        withUnsafePointer(to: &address) {
          $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
            _ = sendto(
              descriptor, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT), pointer,
              socklen_t(MemoryLayout<sockaddr_in>.size))
          }
        }
      }
    }
  }

  /// The next datagram of the job that has arrived; nil when there is none.
  func receive(token: UInt64) -> Heartbeat? {
    withUnsafeTemporaryAllocation(byteCount: 2 * Heartbeat.byteCount, alignment: 8) { bytes in
      while true {
        let count = recv(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT))
        if count < 0 && errno == EINTR { continue }
        // An error is that of an earlier datagram to a host that is not there, or there is nothing.
        guard count >= 0 else { return nil }
        let received = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[0..<count])
        if let heartbeat = Heartbeat(received, token: token) { return heartbeat }
      }
    }
  }
}
