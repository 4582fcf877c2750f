local test = require "test"
local idx, hash = require "idx", require "hash"

local root = test.tmpdir()

local function file(name, type, dims, body)
  return test.write(root .. "/" .. name, string.pack(">BBBB", 0, 0, type, #dims) .. (string.pack(">" .. ("I4"):rep(#dims), table.unpack(dims))) .. body)
end

-- A gzip member with one stored block (RFC 1951, 3.2.4).
local function gzip(data)
  return "\x1f\x8b\x08\0\0\0\0\0\0\xff\x01" .. string.pack("<I2I2", #data, #data ~ 0xffff) .. data .. string.pack("<I4I4", hash.crc32(data), #data)
end

test.case("bytes", function()
  local a = idx.open(file("u8", 8, { 2, 3 }, "\1\2\3\4\5\255"))
  test.equal({ #a, a.dtype, a.shape, a.name }, { 2, "u8", { 2, 3 }, "u8" })
  test.equal({ a:at(1, 1), a:at(2, 3), a:at(-1, -1), a:at(2, 1) }, { 1, 255, 255, 4 })
  test.equal(tostring(a), "IDX(u8, u8[2, 3])")
  test.raises("position 3 is outside dimension 1 of size 2", function() a:at(3, 1) end)
  test.raises("position 0 is outside", function() a:at(0, 1) end)
  test.raises("needs 2 positions", function() a:at(1) end)
  test.raises("IDX has no field 'shap'; did you mean 'shape'", function() return a.shap end)
end)

test.case("other types, big-endian", function()
  test.equal(idx.open(file("i8", 9, { 1 }, "\xff")):at(1), -1)
  test.equal(idx.open(file("i16", 11, { 2 }, string.pack(">i2i2", -2, 300))):at(2), 300)
  test.equal(idx.open(file("i32", 12, { 1 }, string.pack(">i4", -70000))):at(1), -70000)
  test.equal(idx.open(file("f32", 13, { 1 }, string.pack(">f", 0.5))):at(1), 0.5)
  test.equal(idx.open(file("f64", 14, { 1 }, string.pack(">d", 0.1))):at(1), 0.1)
end)

test.case("found by folder and name, packed or not, both spellings", function()
  file("t-images-idx1-ubyte", 8, { 1 }, "a")
  test.equal(idx.open(root, "t-images-idx1-ubyte"):at(1), 97)
  file("t-labels.idx1-ubyte", 8, { 1 }, "b")
  test.equal(idx.open(root, "t-labels-idx1-ubyte"):at(1), 98)
  local plain = string.pack(">BBBBI4", 0, 0, 8, 1, 3) .. "xyz"
  test.write(root .. "/packed.gz", gzip(plain))
  local packed = idx.open(root, "packed")
  test.equal({ #packed, packed:at(3), packed.name }, { 3, 122, "packed.gz" })
  test.write(root .. "/two.gz", gzip(plain:sub(1, 5)) .. gzip(plain:sub(6)))
  test.equal(idx.open(root .. "/two.gz"):at(3), 122)
  test.raises("there is no IDX file '" .. root .. "/none' (nor none.gz", function() idx.open(root, "none") end)
  test.raises("a file name expected", function() idx.open(root, "../x") end)
end)

test.case("what is wrong is named", function()
  local function bad(text, name) test.raises(text, idx.open, root .. "/" .. name) end
  test.write(root .. "/empty", "")
  bad("is no IDX file", "empty")
  test.write(root .. "/png", "\x89PNG....")
  bad("it begins with 89 50 4e 47", "png")
  test.write(root .. "/head", string.pack(">BBBBI4", 0, 0, 8, 3, 5))
  bad("the header is cut off", "head")
  file("short", 8, { 10 }, "123")
  bad("promises 10 bytes of elements, but there are 3", "short")
  file("long", 8, { 2 }, "123")
  bad("bytes follow after the 2", "long")
  file("lie", 14, { 0xffffffff, 0xffffffff, 0xffffffff }, "")
  bad("are not possible", "lie")
  file("bomb", 8, { 0xffffffff }, "123")
  bad("the file has only", "bomb")
  local plain = string.pack(">BBBBI4", 0, 0, 8, 1, 3) .. "xyz"
  local packed = gzip(plain)
  test.write(root .. "/cut.gz", packed:sub(1, -10))
  bad("cut off", "cut.gz")
  test.write(root .. "/flip.gz", packed:sub(1, -10) .. "\0" .. packed:sub(-8))
  bad("bad gzip data (incorrect data check)", "flip.gz")
  test.raises("is a folder", idx.open, root)
  test.raises("outside the allowed folders", idx.open, "/etc/passwd")
end)

test.case("no elements", function()
  test.equal(#idx.open(file("none", 8, { 0, 28, 28 }, "")), 0)
end)

test.case("released", function()
  local a <close> = idx.open(file("r", 8, { 1 }, "a"))
  a:release()
  test.raises("the IDX was released", function() return #a end)
end)
