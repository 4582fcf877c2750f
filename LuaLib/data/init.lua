-- Data for training: mini-batches over tensors, and pictures changed at random.
return { loader = require "data.loader", augment = require "data.augment" }
