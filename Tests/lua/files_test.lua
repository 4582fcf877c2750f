-- Reading below the allowed folders, and nothing else (features.md 5.3, 20-23).
local test = require "test"
local fs = require "fs"

local root = test.tmpdir()
test.write(root .. "/a.txt", "one")
test.write(root .. "/b.lua", "return 1")
test.symlink(root .. "/inside", root .. "/a.txt")
test.symlink(root .. "/outside", "/etc/passwd")
test.symlink(root .. "/folder", "/etc")
test.symlink(root .. "/dangling", "/nowhere/at/all")
test.symlink(root .. "/loop", root .. "/loop")

test.case("read, exists, stat, list", function()
  test.equal(fs.read(root .. "/a.txt"), "one")
  test.equal(fs.read(root .. "/inside"), "one")
  test.truthy(fs.exists(root))
  test.falsy(fs.exists(root .. "/none"))
  local stat = fs.stat(root .. "/a.txt")
  test.equal({ stat.kind, stat.size }, { "file", 3 })
  test.equal(fs.stat(root).kind, "folder")
  test.equal({ fs.stat(root .. "/none") }, { nil, "'" .. root .. "/none' does not exist" })
  test.equal(fs.list(root), { "a.txt", "b.lua", "dangling", "folder", "inside", "loop", "outside" })
end)

test.case("glob", function()
  test.equal(fs.glob(root .. "/*.txt"), { root .. "/a.txt" })
  test.equal(fs.glob(root .. "/?.[tl]*"), { root .. "/a.txt", root .. "/b.lua" })
  test.equal(fs.glob(root .. "/**/*.lua"), { root .. "/b.lua" })
  test.equal(fs.glob(root .. "/none*"), {})
  test.raises("outside the allowed folders", function() fs.glob "/etc/*" end)
end)

test.case("nothing outside opens, whatever the path says", function()
  for _, path in ipairs { "/etc/passwd", "//etc/passwd", root .. "/../../../../etc/passwd", "/proc/self/environ", "/proc/self/root/etc/passwd",
    "//proc/self/root/etc/passwd", root .. "/outside", root .. "/folder/passwd", "/dev/zero", "/dev/stdin", "/proc/self/mem" } do
    test.raises("is outside the allowed folders", fs.read, path)
    test.falsy(fs.exists(path))
  end
  test.raises("PATH_NOT_ALLOWED", fs.list, root .. "/folder")
  test.raises("PATH_NOT_ALLOWED", fs.list, "/")
end)

test.case("odd paths are errors", function()
  test.raises("is no path", fs.read, "")
  test.raises("is no path", fs.read, "a\0b")
  test.raises("is no path", fs.read, ("x"):rep(5000))
  test.raises("File name too long", fs.read, root .. "/" .. ("x"):rep(300))
  test.raises("does not exist", fs.read, root .. "/dangling")
  test.raises("loop", fs.read, root .. "/loop")
  test.raises("is a folder, not a file", fs.read, root)
  test.raises("is a file, not a folder", fs.list, root .. "/a.txt")
  test.raises("not valid UTF-8", fs.read, root .. "/\xff")
  test.raises("FILE_NOT_FOUND", fs.read, "file:///etc/passwd")
end)
