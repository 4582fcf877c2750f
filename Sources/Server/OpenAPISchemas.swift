import Core

/// The schemas of bodies and answers, for the OpenAPI document.
enum OpenAPISchemas {
  static let text: JSONValue = ["type": "string"]
  static let number: JSONValue = ["type": "number"]
  static let integer: JSONValue = ["type": "integer"]
  static let object: JSONValue = ["type": "object"]
  static let time: JSONValue = ["type": "string", "format": "date-time"]

  static let all: JSONValue = {
    var schemas = general
    for (name, schema) in datasets { schemas[name] = schema }
    return .object(schemas)
  }()

  private static let general: JSONObject = [
    "Error": [
      "type": "object", "required": ["error"],
      "properties": [
        "error": [
          "type": "object", "required": ["code", "message"],
          "properties": [
            "code": ["type": "string", "examples": ["INVALID_REQUEST", "TASK_NOT_FOUND"]], "message": text, "request_id": text,
            "details": ["description": "For INVALID_REQUEST of a body: a list of {field, reason}."],
          ],
        ]
      ],
    ],
    "TaskRequest": [
      "type": "object", "required": ["name", "input", "script", "output", "params"], "additionalProperties": false,
      "properties": [
        "name": ["type": "string", "minLength": 1, "maxLength": 200],
        "input": ["type": "string", "description": "A name or path in the lake, or a path below a data root; may be empty."],
        "script": [
          "type": "string", "description": "A .lua file below the script root.", "examples": ["mnist/mnist_clean.lua"],
        ],
        "output": ["type": "string", "description": "A name or path in the lake; may be empty."],
        "params": ["type": "object", "description": "Handed to the script as a table."],
        "limits": [
          "type": "object", "additionalProperties": false,
          "properties": ["wall_s": number, "cpu_s": number, "memory_bytes": integer],
        ],
      ],
      "examples": [
        [
          "name": "mnist_ingestion", "input": "/data/raw/mnist/", "script": "mnist/mnist_clean.lua",
          "output": "lance_storage/datasets/mnist_clean.lance", "params": ["normalize": true, "flatten": true],
        ]
      ],
    ],
    "Task": [
      "type": "object", "required": ["id", "name", "status", "created_at"],
      "properties": [
        "id": ["type": "string", "examples": ["task-001"]], "name": text,
        "status": ["type": "string", "enum": ["pending", "running", "completed", "failed", "cancelled"]], "created_at": time,
        "started_at": time, "completed_at": time, "cancel_requested_at": time,
        "result": ["description": "What the script's run returned."], "error": ["$ref": "#/components/schemas/TaskError"],
        "progress": [
          "type": "object", "required": ["done"], "properties": ["done": number, "total": number, "phase": text],
        ],
        "endpoint": ["type": "string", "description": "Where a serving task listens."], "script": text, "input": text,
        "output": text,
        "params": object, "limits": object, "attempt": integer,
        "usage": ["type": "object", "properties": ["wall_s": number, "cpu_s": number, "peak_rss_bytes": integer]],
        "logs_url": text,
        "events_url": text, "metrics_url": text,
      ],
    ],
    "TaskError": [
      "type": "object", "required": ["code", "message"],
      "properties": [
        "code": [
          "type": "string",
          "examples": [
            "SCRIPT_ERROR", "INVALID_RESULT", "RESULT_TOO_LARGE", "LOG_LIMIT", "TIMEOUT", "CPU_LIMIT", "MEMORY_LIMIT",
            "WORKER_CRASHED", "WORKER_NOT_STARTED", "LOST_ON_RESTART",
          ],
        ], "message": text, "script": text, "line": integer, "excerpt": text, "traceback": text, "signal": text,
        "exit_code": integer,
      ],
    ],
    "TaskEvent": [
      "type": "object", "required": ["event", "number", "time", "status", "reason"],
      "properties": [
        "event": ["type": "string", "enum": ["status", "cancel_requested", "ready"]], "number": integer, "time": time,
        "status": text,
        "reason": text,
      ],
    ],
    "LogLine": [
      "type": "object",
      "properties": [
        "event": ["const": "log"], "number": integer, "time": time, "attempt": integer,
        "stream": ["type": "string", "enum": ["stdout", "stderr", "log", "system"]],
        "level": ["type": "string", "enum": ["debug", "info", "warning", "error"]], "message": text,
      ],
    ],
    "MetricPoint": [
      "type": "object", "required": ["name", "value", "time"],
      "properties": [
        "name": text, "step": ["type": ["integer", "null"]], "value": ["type": ["number", "null"]], "time": time,
      ],
    ],
    "Dataset": [
      "type": "object", "required": ["id", "path", "schema", "num_rows"],
      "properties": [
        "id": text, "path": text,
        "schema": [
          "type": "object", "additionalProperties": text,
          "description":
            "Types by column: Int64, Float64, String, Boolean, List[Float64], FixedSizeList[Float32, 784], Struct[...], ...",
          "examples": [["image": "List[Float64]", "label": "Int64", "split": "String"]],
        ], "num_rows": integer, "version": integer, "bytes": integer, "fragments": integer,
        "updated_at": ["type": ["string", "null"]],
        "error": object,
      ],
    ],
    "Row": ["type": "object", "description": "A member per column."],
    "Model": [
      "type": "object", "required": ["id", "path", "metrics", "hyperparameters"],
      "properties": [
        "id": text, "path": text, "metrics": object, "hyperparameters": object,
        "weights": [
          "type": "array",
          "items": [
            "type": "object",
            "properties": ["name": text, "shape": ["type": "array", "items": integer], "dtype": text, "bytes": integer],
          ],
        ], "version": integer, "parameters": integer, "weight_bytes": integer, "graph": [:], "signature": [:], "labels": [:],
        "lineage": [:], "curves": [:], "created_at": time, "error": object,
      ],
    ],
    "Health": ["type": "object", "properties": ["status": text]],
    "Version": ["type": "object", "properties": ["name": text, "version": text]],
  ]
}
