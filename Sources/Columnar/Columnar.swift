// Columnar: Arrow's memory layout (https://arrow.apache.org/docs/format/Columnar.html) as immutable Swift values.
//
//   DataType, Field, Schema   what a column holds
//   Column                    one column's memory: validity bits, buffers, children
//   ColumnBuilder             makes columns value by value
//   RecordBatch               columns of equal length under a schema
//   RecordBatchReader         a stream of batches
