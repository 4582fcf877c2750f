-- How many threads the kernels of this task use.
local M = { params = {} }

function M.run() return { threads = require("task").info().threads } end

return M
