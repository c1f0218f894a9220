import Glibc

/// A network that this host is on, by IPv4.
public struct HostNetwork: Sendable, Equatable {
  /// The name of the interface.
  public let name: String
  /// The host's address there, in network byte order.
  public let address: UInt32

  /// Those that are up, the loopback aside; none where the system does not say.
  public static var all: [HostNetwork] {
    var first: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&first) == 0 else { return [] }
    defer { freeifaddrs(first) }
    var found: [HostNetwork] = []
    var next = first
    while let interface = next?.pointee {
      next = interface.ifa_next
      let flags = Int32(bitPattern: interface.ifa_flags)
      guard let address = interface.ifa_addr, address.pointee.sa_family == sa_family_t(AF_INET),
        flags & Int32(IFF_UP) != 0, flags & Int32(IFF_LOOPBACK) == 0
      else { continue }
      let number = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { $0.pointee.sin_addr.s_addr }
      found.append(HostNetwork(name: String(cString: interface.ifa_name), address: number))
    }
    return found
  }
}
