-- Data for training: mini-batches over tensors.
return { loader = require "data.loader" }
