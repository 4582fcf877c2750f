"""How the Swift tests speak to a script of this folder: one JSON array a line in, one JSON object a line out."""
import json
import sys
import traceback


def serve(run):
    """Answers each command with {"result": run(*command)} or {"error": traceback}, until the input ends."""
    for line in sys.stdin:
        try:
            answer = {"result": run(*json.loads(line))}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)
