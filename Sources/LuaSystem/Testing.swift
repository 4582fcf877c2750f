import Core
import LuaHost

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// `_testing`: what `LuaLib/test.lua` needs from Swift. Specs write below their scratch folder only.
enum LuaTesting {
  /// A spec's scratch folder is a folder of this name that this user owns; nothing else is ever written by the kit.
  private static let prefix = "moonlake-test-"

  static let module = Module(
    "_testing", "For LuaLib/test only.",
    [
      Fn("check_scratch", "fun(path: string): string", "The real path of a scratch folder; anything else is an error.") {
        call in
        call.push(try scratch(try call.string(1)))
      },
      Fn("folder", "fun(scratch: string, name: string): string", "Makes a folder in the scratch folder.") { call in
        let path = try scratch(try call.string(1)) + "/" + (try fileName(try call.string(2)))
        guard mkdir(path, 0o700) == 0 else { throw Failure(.ioError, "\(path): \(errorText(errno))") }
        return call.push(path)
      },
      Fn("write", "fun(scratch: string, path: string, data: string)", "Writes a file below the scratch folder.") { call in
        let root = try scratch(try call.string(1))
        let path = try call.string(2)
        let parts = path.split(separator: "/").map(String.init)
        let parent = "/" + parts.dropLast().joined(separator: "/")
        guard path.hasPrefix("/"), let real = realPath(parent), real == root || real.hasPrefix(root + "/") else {
          throw Failure(.pathNotAllowed, "test.write: '\(path)' is not below \(root); begin it with test.tmpdir()")
        }
        let target = real + "/" + (try fileName(parts.last ?? ""))
        try call.withBytes(3) { data in
          let descriptor = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
          guard descriptor >= 0 else { throw Failure(.ioError, "\(path): \(errorText(errno))") }
          defer { close(descriptor) }
          var at = 0
          while at < data.count, let start = data.baseAddress {
            let n = Glibc.write(descriptor, start + at, data.count - at)
            if n < 0, errno != EINTR { throw Failure(.ioError, "\(path): \(errorText(errno))") }
            at += max(0, n)
          }
        }
        return 0
      },
      Fn("symlink", "fun(scratch: string, path: string, target: string)", "Makes a symlink below the scratch folder.") { call in
        let root = try scratch(try call.string(1))
        let path = try call.string(2)
        let parts = path.split(separator: "/").map(String.init)
        guard path.hasPrefix("/"), let real = realPath("/" + parts.dropLast().joined(separator: "/")),
          real.hasPrefix(root + "/")
        else {
          throw Failure(.pathNotAllowed, "test.symlink: '\(path)' is not below \(root)")
        }
        guard symlink(try call.string(3), real + "/" + (try fileName(parts.last ?? ""))) == 0 else {
          throw Failure(.ioError, "\(path): \(errorText(errno))")
        }
        return 0
      },
    ])

  private static func scratch(_ path: String) throws(Failure) -> String {
    var status = stat()
    guard let real = realPath(path), real.split(separator: "/").last?.hasPrefix(prefix) == true, lstat(real, &status) == 0,
      status.st_mode & S_IFMT == S_IFDIR, status.st_uid == getuid()
    else { throw Failure(.pathNotAllowed, "'\(path)' is no scratch folder of `moonlake test`") }
    return real
  }

  private static func fileName(_ name: String) throws(Failure) -> String {
    guard !name.isEmpty, name != ".", name != "..", !name.utf8.contains(47), !name.utf8.contains(0) else {
      throw Failure(.invalidArgument, "'\(name)' is no file name")
    }
    return name
  }
}

func closeDescriptor(_ descriptor: Int32) { close(descriptor) }
