-- time, hash, base64, uuid, gunzip, task fields.
local test = require "test"
local time, hash, base64, uuid, gunzip = require "time", require "hash", require "base64", require "uuid", require "gunzip"

test.case("time", function()
  test.equal(time.format(0), "1970-01-01T00:00:00Z")
  test.equal(time.format(1.25, 3), "1970-01-01T00:00:01.250Z")
  test.equal(time.parse "2026-02-10T10:00:00Z", 1770717600)
  test.equal(time.format(-1), "1969-12-31T23:59:59Z")
  test.truthy(time.now() > 1.7e9)
  local start = time.clock()
  time.sleep(0.02)
  test.truthy(time.clock() - start >= 0.02)
  test.raises("RFC 3339 in UTC expected, such as 2026-02-10T10:00:00Z, got yesterday", time.parse, "yesterday")
  test.raises("0 to 1e9 seconds expected, got -1", time.sleep, -1)
  test.raises("a time in the years 0 to 9999 expected", time.format, 1e300)
  test.raises("0 to 1e9 seconds expected", time.sleep, 0 / 0)
end)

test.case("sha256, FIPS 180-4 examples", function()
  test.equal(hash.sha256 "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  test.equal(hash.sha256 "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  test.equal(hash.crc32 "123456789", 0xcbf43926)
end)

test.case("base64, RFC 4648 section 10", function()
  local vectors = { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=", foobar = "Zm9vYmFy" }
  for data, text in pairs(vectors) do
    test.equal(base64.encode(data), text)
    test.equal(base64.decode(text), data)
    test.equal(base64.decode((text:gsub("=", ""))), data)
  end
  local all = {}
  for i = 0, 255 do all[#all + 1] = string.char(i) end
  local data = table.concat(all)
  test.equal(base64.decode(base64.encode(data)), data)
  for _, bad in ipairs { "Z", "Zg=", "Z===", "Zm9*", "Zm 9v", "Zh==", "====" } do test.raises("the text is no base64", base64.decode, bad) end
end)

test.case("uuid", function()
  local a, b = uuid.new(), uuid.new()
  test.truthy(a ~= b)
  test.truthy(a:match "^%x+%-%x+%-4%x%x%x%-[89ab]%x%x%x%-%x+$", a)
end)

test.case("gunzip", function()
  local packed = base64.decode "H4sIAAAAAAAC/8tIzcnJVyjPL8pJAQCFEUoNCwAAAA=="
  test.equal(gunzip.inflate(packed), "hello world")
  test.equal(gunzip.inflate(packed .. packed), "hello worldhello world")
  test.truthy(gunzip.is_gzip(packed))
  test.raises("more than the limit of 5 bytes", gunzip.inflate, packed, { limit = 5 })
  test.raises("cut off", gunzip.inflate, packed:sub(1, -5))
  test.raises("gunzip: ", gunzip.inflate, "no gzip data")
  test.raises("has no option 'limt'; did you mean 'limit'", gunzip.inflate, packed, { limt = 5 })
end)

test.case("task", function()
  local task = require "task"
  test.equal(task.cancelled(), false)
  test.truthy(#task.info().id > 0)
end)
