internal import CMPI

extension MPIRuntime {
  /// Name and version of the MPI library, in one line; empty where it does not say.
  public static var libraryVersion: String {
    let version = text(capacity: 8192) { _ = cmpi_library_version($0, $1) }
    return String(version.prefix { $0 != "," && $0 != "\n" })
  }
}
