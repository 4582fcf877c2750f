// Room LanceIndex: indices over columns of Lance tables in Lance's own index files (docs/formats/lance-index.md), and search.
//
//   IndexEntry, IndexInfo         what a manifest says of its indices; kinds that are not known here are named and kept
//   FlatSearch                    exact nearest rows, by a kernel for one query or blocked matrix products for many
//   BTreeIndex, BitmapIndex       rows by value: build, read, ask (`ScalarQuery`)
//   IVFIndex                      vectors by partition, plain (IVF_FLAT) or as product codes (IVF_PQ)
//   KMeans, ProductCode           how the partitions and the codes are found
//   TableLocation.createIndex     build and commit; optimizeIndices covers rows that came later
//   LanceTable.nearest            search with or without an index, rows that are not indexed included
