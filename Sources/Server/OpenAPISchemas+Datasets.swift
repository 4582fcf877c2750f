import Core

/// Schemas of what is below `/api/v1/datasets/{id}`. Those of bodies are what bodies are checked against (`BodySchema`), and
/// each has an example.
extension OpenAPISchemas {
  static let datasets: JSONObject = [
    "ColumnStatistics": [
      "type": "object", "required": ["name", "type", "count", "nulls", "min", "max", "mean"],
      "properties": [
        "name": text, "type": text, "count": ["type": "integer", "description": "Rows with a value."], "nulls": integer,
        "min": ["description": "null for types without an order."], "max": [:], "mean": ["type": ["number", "null"]],
      ],
    ],
    "TableVersion": [
      "type": "object", "required": ["version", "time", "operation", "rows", "fragments", "tags"],
      "properties": [
        "version": integer, "time": ["type": ["string", "null"], "format": "date-time"],
        "operation": [
          "type": ["string", "null"],
          "examples": ["create", "append", "overwrite", "delete", "update", "add_columns", "compact"],
        ], "rows": integer, "fragments": integer, "tags": ["type": "array", "items": text],
        "error": ["type": "string", "description": "What is wrong with the version's manifest."],
      ],
    ],
    "NewDataset": [
      "type": "object", "required": ["schema"], "additionalProperties": false,
      "properties": [
        "schema": [
          "type": "object", "minProperties": 1, "additionalProperties": text,
          "description":
            "Types by column, as the data set shows them (Int64, String, FixedSizeList...) or as scripts write them (i64, f32[784]).",
        ]
      ], "examples": [["schema": ["id": "Int64", "name": "String", "vector": "f32[128]"]]],
    ],
    "Import": [
      "type": "object", "required": ["version", "rows", "inserted", "updated", "deleted", "fragments"],
      "properties": [
        "version": integer, "rows": ["type": "integer", "description": "Rows of the body."], "inserted": integer,
        "updated": integer,
        "deleted": integer, "fragments": integer,
      ],
    ],
    "Change": [
      "type": "object", "required": ["version", "inserted", "updated", "deleted", "changed"],
      "properties": [
        "version": ["type": "integer", "description": "The newest version now."], "inserted": integer, "updated": integer,
        "deleted": integer,
        "changed": ["type": "boolean", "description": "False: there was nothing to do, and no new version."],
      ],
    ],
    "DeleteRows": [
      "type": "object", "required": ["where"], "additionalProperties": false,
      "properties": ["where": ["type": "string", "description": "A condition in SQL's words."]],
      "examples": [["where": "label NOT BETWEEN 0 AND 9"]],
    ],
    "UpdateRows": [
      "type": "object", "additionalProperties": false,
      "properties": [
        "set": ["type": "object", "description": "Values by column: numbers, texts, true, false, null."],
        "expressions": ["type": "object", "additionalProperties": text, "description": "Computed values by column."],
        "where": ["type": "string", "description": "Only rows for which this is true."],
      ], "examples": [["set": ["split": "test"], "expressions": ["price": "price * 1.1"], "where": "id IN (1, 2)"]],
    ],
    "NewColumns": [
      "type": "object", "required": ["columns"], "additionalProperties": false,
      "properties": [
        "columns": [
          "type": "array", "minItems": 1, "maxItems": 1000,
          "items": [
            "type": "object", "required": ["name"], "additionalProperties": false,
            "properties": [
              "name": ["type": "string", "minLength": 1],
              "expression": ["type": "string", "description": "Over the other columns."],
              "type": ["type": "string", "description": "Of the column; without an expression it is null everywhere."],
            ],
          ],
        ]
      ], "examples": [["columns": [["name": "total", "expression": "price * amount"], ["name": "note", "type": "String"]]]],
    ],
    "ColumnChange": [
      "type": "object", "additionalProperties": false,
      "properties": [
        "name": ["type": "string", "minLength": 1, "description": "The new name."],
        "type": ["type": "string", "description": "The new type."],
        "lenient": ["type": "boolean", "description": "Values that do not fit the type become null."],
      ], "examples": [["type": "Float32", "lenient": true]],
    ],
    "VersionChoice": [
      "type": "object", "additionalProperties": false,
      "properties": ["version": ["type": "integer", "minimum": 1], "tag": text],
      "examples": [["version": 3]],
    ],
    "NewTag": [
      "type": "object", "required": ["name"], "additionalProperties": false,
      "properties": ["name": ["type": "string", "minLength": 1], "version": ["type": "integer", "minimum": 1]],
      "examples": [["name": "golden", "version": 3]],
    ],
    "Difference": [
      "type": "object", "required": ["from", "to", "rows_added", "rows_removed"],
      "properties": [
        "from": integer, "to": integer, "rows_added": integer, "rows_removed": integer,
        "columns_added": ["type": "array", "items": text], "columns_dropped": ["type": "array", "items": text],
        "columns_renamed": ["type": "array", "items": object], "columns_retyped": ["type": "array", "items": object],
        "operations": ["type": "array", "items": text],
      ],
    ],
    "VerifyRequest": [
      "type": "object", "additionalProperties": false,
      "properties": ["version": ["type": "integer", "minimum": 1], "all_versions": ["type": "boolean"]],
      "examples": [["all_versions": true]],
    ],
    "VerifyReport": [
      "type": "object", "required": ["is_good", "good", "damaged", "missing", "without_checksum", "problems"],
      "properties": [
        "table": text, "is_good": ["type": "boolean", "description": "Nothing is damaged or missing."],
        "versions": ["type": "array", "items": integer], "files": integer, "bytes": integer, "seconds": number, "good": integer,
        "damaged": integer, "missing": integer,
        "without_checksum": ["type": "integer", "description": "Files of other writers, which have none."],
        "problems": ["type": "array", "items": object],
      ],
    ],
    "DoctorRequest": [
      "type": "object", "additionalProperties": false, "properties": ["repair": ["type": "boolean"]],
      "examples": [["repair": false]],
    ],
    "DoctorReport": [
      "type": "object", "required": ["healthy", "findings"],
      "properties": [
        "table": text, "healthy": ["type": "boolean"], "latest_version": ["type": ["integer", "null"]],
        "last_good_version": ["type": ["integer", "null"]], "quarantined": ["type": "array", "items": text],
        "findings": [
          "type": "array",
          "items": [
            "type": "object",
            "properties": [
              "kind": text, "severity": ["type": "string", "enum": ["error", "warning", "note"]],
              "path": ["type": ["string", "null"]],
              "version": ["type": ["integer", "null"]], "message": text, "repaired": ["type": "boolean"],
            ],
          ],
        ],
      ],
    ],
    "CompactRequest": [
      "type": "object", "additionalProperties": false,
      "properties": [
        "target_rows": ["type": "integer", "minimum": 1, "description": "Rows of a fragment that are aimed at; 1048576."],
        "deleted_share": [
          "type": "number", "minimum": 0, "maximum": 1, "description": "A fragment of which more is deleted is rewritten; 0.1.",
        ],
      ], "examples": [["deleted_share": 0.2]],
    ],
    "CompactReport": ["type": "object", "description": "Version, fragments removed and added, rows, bytes before and after."],
    "CleanupRequest": [
      "type": "object", "additionalProperties": false,
      "properties": [
        "older_than_days": ["type": "number", "minimum": 0, "description": "Versions older than this go; 14."],
        "keep_versions": ["type": "integer", "minimum": 1, "description": "The newest ones that stay; 1."],
        "dry_run": ["type": "boolean"],
      ], "examples": [["older_than_days": 7, "keep_versions": 10, "dry_run": true]],
    ],
    "CleanupReport": ["type": "object", "description": "Versions removed and kept, files removed, bytes freed."],
    "Index": [
      "type": "object", "required": ["name", "column", "kind", "usable", "indexed_rows", "unindexed_rows"],
      "properties": [
        "name": text, "column": text, "kind": ["type": "string", "examples": ["BTREE", "BITMAP", "IVF_FLAT", "IVF_PQ"]],
        "usable": ["type": "boolean", "description": "False for kinds that other programs made and this one does not know."],
        "parts": integer, "indexed_rows": integer,
        "unindexed_rows": ["type": "integer", "description": "Searched too, one by one."], "bytes": integer,
        "created": ["type": ["string", "null"], "format": "date-time"], "metric": ["type": ["string", "null"]],
      ],
    ],
    "NewIndex": [
      "type": "object", "required": ["column"], "additionalProperties": false,
      "properties": [
        "column": ["type": "string", "minLength": 1],
        "type": [
          "type": "string", "enum": ["btree", "bitmap", "ivf_flat", "ivf_pq"],
          "description": "By the column's type when left out: btree, ivf_pq.",
        ], "name": ["type": "string", "minLength": 1, "description": "COLUMN_idx when left out."],
        "metric": ["type": "string", "enum": ["l2", "cosine", "dot"]],
        "partitions": ["type": "integer", "minimum": 1, "maximum": 1_048_576],
        "sub_vectors": ["type": "integer", "minimum": 1, "maximum": 65536], "replace": ["type": "boolean"],
      ], "examples": [["column": "embedding", "type": "ivf_pq", "metric": "cosine"]],
    ],
    "SearchRequest": [
      "type": "object", "additionalProperties": false,
      "properties": [
        "vector": ["type": "array", "minItems": 1, "maxItems": 65536, "items": number],
        "vectors": [
          "type": "array", "minItems": 1, "maxItems": 1000,
          "items": ["type": "array", "minItems": 1, "maxItems": 65536, "items": number],
        ], "column": ["type": "string", "description": "May be left out where there is one column of vectors."],
        "k": ["type": "integer", "minimum": 1, "maximum": 10000, "description": "Rows per vector; 10."],
        "metric": ["type": "string", "enum": ["l2", "cosine", "dot"], "description": "The index's when left out, else l2."],
        "where": ["type": "string", "description": "A condition in SQL's words, applied before the search."],
        "select": ["type": "array", "minItems": 1, "items": text],
        "probes": [
          "type": "integer", "minimum": 1, "maximum": 1_048_576, "description": "Partitions of the index looked into; 20.",
        ],
        "refine": [
          "type": "integer", "minimum": 0, "maximum": 1_048_576,
          "description": "refine * k candidates are measured exactly; 10.",
        ],
        "exact": ["type": "boolean", "description": "Look at every row."],
      ], "examples": [["vector": [0.1, 0.2, 0.3, 0.4], "k": 5, "where": "price < 10"]],
    ],
    "SearchResult": [
      "type": "object", "required": ["hits", "version"],
      "properties": [
        "hits": ["type": "array", "items": ["type": "array", "items": ["$ref": "#/components/schemas/Row"]]],
        "version": integer,
      ],
    ],
    "Tag": ["type": "object", "required": ["name", "version"], "properties": ["name": text, "version": integer]],
  ]
}
